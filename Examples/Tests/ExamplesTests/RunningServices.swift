import CrossServer
import CrossServerRedis
import CrossServerTesting
import Logging
import ServiceLifecycle

private let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// Runs services for the time of a test, and then stops them gracefully.
func whileRunning<Result: Sendable>(
    _ services: [any Service],
    _ body: () async throws -> Result
) async throws -> Result {
    let group = ServiceGroup(configuration: .init(services: services, logger: silent))
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(try await body())
        } catch {
            outcome = .failure(error)
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try outcome.get()
    }
}

/// Runs a broker, whose address as a Redis node the test gets.
func withBroker<Result: Sendable>(_ body: (String) async throws -> Result) async throws -> Result {
    let broker = EmbeddedBroker(port: 0)
    return try await whileRunning([broker]) {
        try await eventually { broker.listeningAddress != nil }
        return try await body("127.0.0.1:\(broker.listeningAddress?.port ?? 0)")
    }
}

/// A server with its own bus; nil for the port when it takes no clients.
func makeServer(_ name: String, _ bus: RedisBus, port: Int? = nil) -> WebSocketCrossServerAdapter {
    WebSocketCrossServerAdapter(
        serverName: name,
        listening: port.map { .host("127.0.0.1", port: $0) },
        bus: bus,
        logger: silent
    )
}

extension WebSocketCrossServerAdapter {
    /// Waits until it can be reached, by clients if it takes some.
    func ready(takesClients: Bool = false) async throws {
        try await eventually { self.busLinks.contains { $0.canPublish && $0.canReceive } }
        try await eventually { !takesClients || self.listeningAddress != nil }
    }

    func connect(id: String) async throws -> TestClient {
        guard let address = self.listeningAddress else { throw TestClientError.serverEnded }
        return try await TestClient.connect(to: address, target: "/?id=\(id)")
    }
}
