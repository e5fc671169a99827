public import CrossServer
public import Logging
public import NIOCore
import ServiceLifecycle
import Synchronization

/// Runs a server on a free port of the loopback interface for the time of a test.
///
/// ```swift
/// try await withServer { adapter in
///     adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
/// } run: { server in
///     let client = try await server.connect("/?id=1")
///     #expect(try await client.request("echo", ["a": 1]) == ["a": 1])
/// }
/// ```
///
/// - Parameters:
///   - configuration: of the server.
///   - logger: one that keeps silent by default.
///   - prepare: registers listeners; runs before the server listens.
///   - body: the test. The server is stopped gracefully when it returns or throws.
/// - Throws: what the server or the test throws.
public func withServer<Result: Sendable>(
    configuration: WebSocketCrossServerAdapter.Configuration = .init(),
    logger: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
    prepare: (WebSocketCrossServerAdapter) throws -> Void = { _ in },
    run body: (RunningServer) async throws -> Result
) async throws -> Result {
    let adapter = WebSocketCrossServerAdapter(
        serverName: "test",
        listening: .host("127.0.0.1", port: 0),
        configuration: configuration,
        logger: logger
    )
    try prepare(adapter)
    let (listening, continuation) = AsyncStream.makeStream(of: SocketAddress.self)
    adapter.onWebSocketEvent(.listening) { address in continuation.yield(address) }
    let group = ServiceGroup(configuration: .init(services: [adapter], logger: logger))
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
            defer { continuation.finish() }
            try await group.run()
        }
        guard let address = await listening.first(where: { _ in true }) else {
            try await tasks.waitForAll()
            throw TestClientError.serverEnded
        }
        let server = RunningServer(adapter: adapter, address: address, group: group)
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(try await body(server))
        } catch {
            outcome = .failure(error)
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try outcome.get()
    }
}

/// A server that ``withServer(configuration:logger:prepare:run:)`` has started.
public struct RunningServer: Sendable {
    public let adapter: WebSocketCrossServerAdapter
    public let address: SocketAddress
    private let group: ServiceGroup

    init(adapter: WebSocketCrossServerAdapter, address: SocketAddress, group: ServiceGroup) {
        self.adapter = adapter
        self.address = address
        self.group = group
    }

    public var port: Int { self.address.port ?? 0 }

    /// The server's URL with a path and query.
    public func url(_ target: String = "/") -> String { "ws://127.0.0.1:\(self.port)\(target)" }

    /// Connects a client.
    public func connect(_ target: String = "/", compression: PerMessageDeflate? = nil) async throws -> TestClient {
        try await TestClient.connect(to: self.address, target: target, compression: compression)
    }

    /// Begins to stop the server, while the test goes on.
    public func beginShutdown() async {
        await self.group.triggerGracefulShutdown()
    }
}

/// Waits until a condition holds, for at most the given time.
///
/// - Throws: ``TestClientError/conditionNotMet`` when the time is over.
public func eventually(
    within limit: Duration = .seconds(30),
    _ condition: () async throws -> Bool
) async throws {
    var patience = Patience(limit)
    while try await !condition() {
        if patience.isOver() { throw TestClientError.conditionNotMet }
        try await Task.sleep(for: .milliseconds(5))
    }
}
