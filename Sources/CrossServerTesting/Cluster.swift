public import CrossServer
public import Logging
public import NIOCore
public import NIOPosix
import ServiceLifecycle

/// Runs servers that are connected in one process for the time of a test, without a WebSocket side unless they listen.
///
/// ```swift
/// try await withCluster(["a", "b"]) { adapter in
///     adapter.onCrossServerEvent("ping") { event, reply in reply?(event.payload) }
/// } run: { servers in
///     let replies = try await servers[0].emitCrossServer("ping", 1, to: .server("b"), timeout: .seconds(5))
///     #expect(replies.replies == ["b": 1])
/// }
/// ```
///
/// - Parameters:
///   - names: of the servers.
///   - listening: where they accept clients; `.host("127.0.0.1", port: 0)` for a free port each. Nowhere by default.
///   - buses: one for each server; by default all are connected by an ``InProcessBus``.
///   - prepare: registers listeners; runs before a server runs.
///   - body: the test. It begins when all servers know each other. The servers are stopped when it returns or throws.
/// - Throws: what a server or the test throws.
public func withCluster<Result: Sendable>(
    _ names: [String],
    listening: ListenAddress? = nil,
    configuration: WebSocketCrossServerAdapter.Configuration = .init(),
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    logger: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
    buses: [any Bus]? = nil,
    prepare: (WebSocketCrossServerAdapter) throws -> Void = { _ in },
    run body: ([WebSocketCrossServerAdapter]) async throws -> Result
) async throws -> Result {
    let hub = InProcessBus.Hub(eventLoopGroup: eventLoopGroup)
    let buses = buses ?? names.map { _ in hub.makeBus() }
    let servers = try zip(names, buses).map { name, bus in
        let server = WebSocketCrossServerAdapter(
            serverName: name,
            listening: listening,
            bus: bus,
            configuration: configuration,
            eventLoopGroup: eventLoopGroup,
            logger: logger
        )
        try prepare(server)
        return server
    }
    let group = ServiceGroup(configuration: .init(services: servers, logger: logger))
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        let outcome: Swift.Result<Result, any Error>
        do {
            try await eventually {
                servers.allSatisfy { $0.isBusUsable && (listening == nil || $0.listeningAddress != nil) }
            }
            for server in servers { try await server.waitForBus(within: .seconds(30)) }
            try await eventually { servers.allSatisfy { $0.servers.count >= servers.count } }
            outcome = .success(try await body(servers))
        } catch {
            outcome = .failure(error)
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try outcome.get()
    }
}

extension WebSocketCrossServerAdapter {
    fileprivate var isBusUsable: Bool {
        self.busLinks.contains { $0.canPublish && $0.canReceive }
    }
}
