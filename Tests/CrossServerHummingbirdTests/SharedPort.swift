import CrossServer
import CrossServerBus
import CrossServerHummingbird
import CrossServerTesting
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// A Hummingbird application and an adapter on one port, for the time of a test.
struct SharedPort: Sendable {
    let address: SocketAddress
    let adapter: WebSocketCrossServerAdapter
    private let group: ServiceGroup

    /// Which of the two a service group starts first, and so stops last.
    enum Order: CaseIterable { case adapterFirst, applicationFirst }

    /// Runs both with the routes `/hello` and `/large`, an `echo` event and ids from `?id=`.
    static func run(
        _ order: Order = .adapterFirst,
        bus: (any Bus)? = nil,
        configuration: WebSocketCrossServerAdapter.Configuration = .init(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        server: ((WebSocketCrossServerAdapter) -> HTTPServerBuilder)? = nil,
        body: (SharedPort) async throws -> Void
    ) async throws {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let adapter = WebSocketCrossServerAdapter(
            serverName: "test",
            bus: bus,
            configuration: configuration,
            logger: logger
        )
        adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        let router = Router()
        router.get("hello") { _, _ in "hello" }
        router.get("large") { _, _ in
            // In parts: the last one waits for those before it.
            Response(
                status: .ok,
                body: .init { writer in
                    let part = ByteBuffer(repeating: 0x78, count: 1 << 20)
                    for _ in 0..<64 { try await writer.write(part) }
                    try await writer.finish(nil)
                }
            )
        }
        router.post("body") { request, _ in try await request.body.collect(upTo: 1 << 20) }
        let (running, continuation) = AsyncStream.makeStream(of: SocketAddress.self)
        let application = Application(
            router: router,
            server: server?(adapter) ?? .http1WebSocketUpgrade(to: adapter),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let address = channel.localAddress { continuation.yield(address) }
            },
            eventLoopGroupProvider: .shared(eventLoopGroup),
            logger: logger
        )
        let services: [any Service] = order == .adapterFirst ? [adapter, application] : [application, adapter]
        let group = ServiceGroup(configuration: .init(services: services, logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { continuation.finish() }
                try await group.run()
            }
            guard let address = await running.first(where: { _ in true }) else {
                try await tasks.waitForAll()
                throw TestClientError.serverEnded
            }
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await body(SharedPort(address: address, adapter: adapter, group: group)))
            } catch {
                outcome = .failure(error)
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            try outcome.get()
        }
    }

    func beginShutdown() async { await self.group.triggerGracefulShutdown() }

    func connect(_ target: String = "/") async throws -> TestClient {
        try await TestClient.connect(to: self.address, target: target)
    }

    func rawConnection() async throws -> RawConnection { try await RawConnection.open(self.address) }
}
