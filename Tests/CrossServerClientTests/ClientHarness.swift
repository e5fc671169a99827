import CrossServerClient
import CrossServerTesting
import Logging
import Synchronization

/// What a connector has told its listeners, in order, one line each.
final class EventLog: Sendable {
    private let lines = Mutex<[String]>([])

    init() {}

    init(of client: WebSocketConnector) {
        client.on(.open) { self.add("open") }
        client.on(.close) { close in self.add("close \(close.code) \(close.reason)") }
        client.on(.error) { _ in self.add("error") }
        client.on(.pongTimeout) { self.add("pong-timeout") }
        client.on(.repeatLimit) { limit in self.add("repeat-limit \(limit)") }
        client.on(.reconnect) { attempt, _ in self.add("reconnect \(attempt)") }
    }

    func add(_ line: String) { self.lines.withLock { $0.append(line) } }

    var all: [String] { self.lines.withLock { $0 } }

    func count(_ line: String) -> Int { self.all.count { $0 == line } }

    /// Waits until the line has come as often as given.
    func wait(for line: String, count: Int = 1) async throws {
        do {
            try await eventually { self.count(line) >= count }
        } catch {
            throw MissingLine(line: line, all: self.all)
        }
    }
}

struct MissingLine: Error {
    let line: String
    let all: [String]
}

extension WebSocketConnector.Configuration {
    /// Short waits, as tests like them.
    static func quick(_ change: (inout Self) -> Void = { _ in }) -> Self {
        var configuration = Self()
        configuration.fastReconnectInterval = .milliseconds(20)
        configuration.reconnectMaximumInterval = .milliseconds(100)
        configuration.callbackTimeout = .seconds(60)
        configuration.connectTimeout = .seconds(60)
        configuration.pongTimeout = .seconds(20)
        change(&configuration)
        return configuration
    }
}

/// Runs a connector for the time of a test, closes it by hand and waits for its end.
func withClient<Result: Sendable>(
    _ url: String,
    _ configuration: WebSocketConnector.Configuration = .quick(),
    prepare: (WebSocketConnector) -> Void = { _ in },
    _ body: (WebSocketConnector, EventLog) async throws -> Result
) async throws -> Result {
    let client = try WebSocketConnector(
        url: url,
        configuration: configuration,
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    )
    let log = EventLog(of: client)
    prepare(client)
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await client.run() }
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(try await body(client, log))
        } catch {
            outcome = .failure(error)
        }
        client.manualClose()
        try await tasks.waitForAll()
        return try outcome.get()
    }
}
