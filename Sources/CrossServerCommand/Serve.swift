import ArgumentParser
import CrossServer
import CrossServerWire
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run one server with the demonstration handlers.",
        discussion: """
            Prints one line on standard output when it listens, logs on standard error, and stops gracefully on SIGINT \
            and SIGTERM: clients are closed with 1001.

            Clients connect with ?id=NAME and send {"event":…,"payload":…,"callbackId":…}. Events: echo, say {msg}, \
            joinRoom and leaveRoom {roomId, namespace}, command {action, msg, …} with the actions broadcast, toPlayer, \
            toPlayers and toRoom.

            A second connection with a name replaces the first, which is closed with 4012.

            With --redis it is one server of a cluster, and names are unique in all of it. It answers the events of other servers echo, with {"echo":…, \
            "server":…}, and countRoom {namespace, roomId}, with {"count":…}.

            Every option can be set in the environment too: --max-connections is CROSSSERVER_MAX_CONNECTIONS. The \
            command line comes first. Exit codes: 0 after a graceful stop, 1 when it cannot listen, 64 for a wrong option.
            """
    )

    @Option(help: "Address to listen at. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "Port to listen at; 0 for a free one. (default: 9000)")
    var port: Port?

    @Option(help: "Name of this server. (default: serverA)")
    var name: String?

    @Option(help: "Text message that is answered with itself. (default: the empty text)")
    var heartbeat: String?

    @Flag(help: "Take no clients: only talk to other servers. Prints 'running' when it can. Needs --redis.")
    var noWebsocket = false

    @Flag(help: "Serve a page to try it in a browser, /healthz and /readyz on the same port.")
    var page = false

    @Option(help: "Port for /healthz, /readyz and Prometheus' /metrics, without TLS; 0 for a free one. (default: none)")
    var healthPort: Port?

    @Option(help: "Address of --health-port, whose pages are for those who look after the server. (default: 127.0.0.1)")
    var healthHost: String?

    @Option(
        help: ArgumentHelp(
            """
            Web pages that may connect beside those of the server's own host name: https://app.example.com, a host \
            name, null for pages from files, or '*' for all. May be repeated.
            """,
            valueName: "origin"
        )
    )
    var allowOrigin: [String] = []

    @OptionGroup(title: "Cluster")
    var cluster: ClusterOptions

    @OptionGroup(title: "Limits")
    var limits: ServeLimits

    @Flag(help: "Accept permessage-deflate from clients that offer it.")
    var compression = false

    @Option(help: "Serve wss:// with this certificate chain, in PEM. Needs --tls-key.")
    var tlsCertificate: String?

    @Option(help: "Private key of --tls-certificate, in PEM.")
    var tlsKey: String?

    @Option(help: "Event loop threads. (default: one per core)")
    var threads: PositiveCount?

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment)
        if let threads = try environment.value(self.threads, for: "threads") {
            NIOSingletons.groupLoopCountSuggestion = threads.rawValue
        }
        let name = try environment.value(self.name, for: "name") ?? "serverA"
        let bus = try self.cluster.makeBus(environment, serverName: name, logger: logger)
        let hasNoWebSocket = try environment.flag(self.noWebsocket, for: "no-websocket")
        if hasNoWebSocket, bus == nil { throw ValidationError("--no-websocket needs --redis") }
        let hasPage = try environment.flag(self.page, for: "page")
        if hasNoWebSocket, hasPage { throw ValidationError("--no-websocket and --page exclude each other") }
        let host = try environment.value(self.host, for: "host") ?? "127.0.0.1"
        let port = try environment.value(self.port, for: "port")?.rawValue ?? 9000
        var configuration = try self.adapterConfiguration(environment)
        let healthPort = try environment.value(self.healthPort, for: "health-port")?.rawValue
        let metrics = PrometheusMetrics()
        if healthPort != nil { configuration.metricsFactory = metrics }
        let adapter = WebSocketCrossServerAdapter(
            serverName: name,
            listening: hasNoWebSocket || hasPage ? nil : .host(host, port: port),
            bus: bus,
            configuration: configuration,
            logger: logger
        )
        adapter.addDemonstrationHandlers()
        var services: [any Service] = [adapter]
        if let healthPort {
            let health = HealthServer(
                host: try environment.value(self.healthHost, for: "health-host") ?? "127.0.0.1",
                port: healthPort,
                health: { Health(adapter.readiness) },
                metrics: {
                    try await adapter.updateMetrics()
                    return metrics.text
                },
                logger: logger
            )
            // Stopped after the server: until then it says that it stops.
            services.insert(health, at: 0)
        }
        if hasPage {
            services.append(PageServer(adapter, host: host, port: port))
        } else if hasNoWebSocket {
            services.append(
                Announcer {
                    await adapter.waitForBusIfAny()
                    return "running"
                }
            )
        } else {
            adapter.announceListening { $0 }
        }
        try await runServices(services, logger: logger)
    }

    private func adapterConfiguration(
        _ environment: OptionEnvironment
    ) throws -> WebSocketCrossServerAdapter.Configuration {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.heartbeat = try environment.value(self.heartbeat, for: "heartbeat") ?? ""
        if try environment.flag(self.compression, for: "compression") {
            configuration.compression = PerMessageDeflate()
        }
        let origins = self.allowOrigin.isEmpty ? environment.words("allow-origin") : self.allowOrigin
        configuration.allowedOrigins = origins.contains("*") ? .any : AllowedOrigins(origins)
        try self.limits.apply(to: &configuration, environment)
        try self.cluster.apply(to: &configuration.cluster, environment)
        let certificate: String? = try environment.value(self.tlsCertificate, for: "tls-certificate")
        let key: String? = try environment.value(self.tlsKey, for: "tls-key")
        switch (certificate, key) {
        case (nil, nil): break
        case (let certificate?, let key?):
            do {
                configuration.tls = .makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
                )
            } catch {
                throw ValidationError("--tls-certificate \(certificate) and --tls-key \(key) cannot be read: \(error)")
            }
        default:
            throw ValidationError("--tls-certificate and --tls-key need each other")
        }
        return configuration
    }
}

extension WebSocketCrossServerAdapter {
    /// Prints a line when clients can connect, and with a bus when other servers can be reached too.
    func announceListening(_ line: @escaping @Sendable (String) -> String) {
        self.onWebSocketEvent(.listening) { address async in
            await self.waitForBusIfAny()
            printLine(line("listening on \(address.endpoint)"))
        }
    }

    /// A server whose Redis nodes are all away starts nevertheless.
    func waitForBusIfAny() async {
        guard !self.busLinks.isEmpty else { return }
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(3)
        while !self.readiness.isReady, !Task.isCancelled {
            guard clock.now < deadline else {
                return self.logger.warning("not ready yet", metadata: self.readiness.metadata)
            }
            // Cancelled when it stops: then the loop ends.
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// The limits that can be set on the command line.
struct ServeLimits: ParsableArguments {
    @Option(help: "Bytes of one message. (default: 1048576)")
    var maxMessageSize: PositiveCount?

    @Option(help: "Connections in all. (default: what the limit of open files allows, at most 100000)")
    var maxConnections: PositiveCount?

    @Option(help: "Connections of one address. (default: no limit)")
    var maxConnectionsPerAddress: PositiveCount?

    @Option(help: "Messages per second of one client. (default: no limit)")
    var messagesPerSecond: PositiveNumber?

    @Option(help: "Bytes of messages per second of one client. (default: no limit)")
    var bytesPerSecond: PositiveNumber?

    @Option(help: "Bytes that wait for a client that reads slowly; then it is closed. (default: 1048576)")
    var maxWaitingBytes: PositiveCount?

    @Option(help: "Bytes that all connections may hold together. (default: half of the machine's memory)")
    var maxMemory: PositiveCount?

    @Option(help: "Seconds until the handshake must be done. (default: 10)")
    var handshakeTimeout: PositiveNumber?

    @Option(help: "Seconds between pings of the protocol. (default: 20)")
    var pingInterval: PositiveNumber?

    @Option(help: "Clients closed per second when the server stops. (default: 1000)")
    var shutdownPace: PositiveCount?

    @Option(help: "Seconds that a graceful stop may take. (default: 30)")
    var shutdownTimeout: PositiveNumber?

    func apply(
        to configuration: inout WebSocketCrossServerAdapter.Configuration,
        _ environment: OptionEnvironment
    ) throws {
        func count(_ value: PositiveCount?, _ name: String, _ set: (Int) -> Void) throws {
            if let value = try environment.value(value, for: name) { set(value.rawValue) }
        }
        func seconds(_ value: PositiveNumber?, _ name: String, _ set: (Duration) -> Void) throws {
            if let value = try environment.value(value, for: name) { set(.seconds(value.rawValue)) }
        }
        try count(self.maxMessageSize, "max-message-size") { configuration.limits.maximumMessageSize = $0 }
        try count(self.maxConnections, "max-connections") { configuration.limits.maximumConnections = $0 }
        try count(self.maxConnectionsPerAddress, "max-connections-per-address") {
            configuration.limits.maximumConnectionsPerAddress = $0
        }
        try count(self.maxWaitingBytes, "max-waiting-bytes") {
            configuration.limits.outbound.maximumWaitingBytes = $0
        }
        try count(self.maxMemory, "max-memory") { configuration.limits.maximumMemory = $0 }
        try seconds(self.handshakeTimeout, "handshake-timeout") { configuration.limits.handshakeTimeout = $0 }
        try seconds(self.pingInterval, "ping-interval") { configuration.pingInterval = $0 }
        try count(self.shutdownPace, "shutdown-pace") { configuration.shutdown.clientsPerSecond = $0 }
        try seconds(self.shutdownTimeout, "shutdown-timeout") { configuration.shutdown.deadline = $0 }
        let messages = try environment.value(self.messagesPerSecond, for: "messages-per-second")
        let bytes = try environment.value(self.bytesPerSecond, for: "bytes-per-second")
        if messages != nil || bytes != nil {
            configuration.limits.rate = .init(messagesPerSecond: messages?.rawValue, bytesPerSecond: bytes?.rawValue)
        }
    }
}
