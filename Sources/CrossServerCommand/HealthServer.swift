import CrossServer
import CrossServerHummingbird
import CrossServerWire
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

/// What a server answers to who looks after it, for example Kubernetes.
struct Health: Sendable {
    /// What hinders it; nothing when it is ready.
    var problems: [String]
    /// What is wrong and does not hinder it.
    var notes: [String] = []

    init(problems: [String], notes: [String] = []) {
        self.problems = problems
        self.notes = notes
    }

    init(_ readiness: Readiness) {
        self.problems = readiness.problems.map(\.description)
        self.notes = readiness.unreachableServers.map { "no link leads to the server \($0)" }
    }

    fileprivate var response: Response {
        let lines = (self.problems.isEmpty ? ["ready"] : self.problems) + self.notes
        return Response(
            status: self.problems.isEmpty ? .ok : .serviceUnavailable,
            headers: [.contentType: "text/plain; charset=utf-8", .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(string: lines.map { $0 + "\n" }.joined()))
        )
    }
}

extension Router where Context == BasicRequestContext {
    /// `/healthz`: the process answers. `/readyz`: it can do its work, or 503 and why not.
    func addHealth(_ health: @escaping @Sendable () -> Health) {
        self.get("healthz") { _, _ in "ok\n" }
        self.get("readyz") { _, _ in health().response }
    }
}

/// Serves the health and the metrics of a server on a port of its own, where its clients are not.
struct HealthServer: Service {
    var host: String
    var port: Int
    var health: @Sendable () -> Health
    /// In the text format of Prometheus.
    var metrics: @Sendable () async throws -> String
    var logger: Logger

    /// Connections at once: a few probes, a scraper and a person. Beyond: `503 Service Unavailable`.
    private static let maximumConnections = 256

    func run() async throws {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.addHealth(self.health)
        router.get("metrics") { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: .init(byteBuffer: ByteBuffer(string: try await self.metrics()))
            )
        }
        var limits = Limits()
        limits.maximumConnections = Self.maximumConnections
        let application = Application(
            router: router,
            // For its bounds: there is nobody here for a WebSocket.
            server: .http1WebSocketUpgrade(limits: limits) { _ in nil },
            configuration: .init(address: .hostname(self.host, port: self.port), serverName: nil),
            onServerRunning: { channel in
                self.logger.info(
                    "health",
                    metadata: ["address": "\(endpoint(host: self.host, port: channel.localAddress?.port ?? 0))"]
                )
            },
            logger: self.logger
        )
        do {
            try await application.run()
        } catch let error as IOError {
            throw CrossServerError(
                .cannotListen,
                "cannot listen at \(endpoint(host: self.host, port: self.port)): \(error)"
            )
        }
    }
}
