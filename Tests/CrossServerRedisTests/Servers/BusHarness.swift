import CrossServerRedis
import Logging
import NIOCore
import Synchronization
import Testing

/// Writes down what a bus tells.
final class BusRecorder: BusReceiver {
    struct Message: Sendable, Hashable {
        var text: String
        var channel: String
        var link: BusLink
    }

    private struct State: Sendable {
        var messages: [Message] = []
        var sizes: [Int] = []
        var statuses: [BusLinkStatus] = []
        var stalled: [BusLink] = []
        var reports: [RedisHealthReport] = []
        var errors: [RedisSubscriptionError] = []
    }

    private let state = Mutex(State())

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        // Large ones are told by their size.
        let text = message.readableBytes > 1_000 ? "\(message.readableBytes) bytes" : String(buffer: message)
        self.state.withLock { $0.messages.append(Message(text: text, channel: channel, link: link)) }
    }

    func linkChanged(_ status: BusLinkStatus) {
        self.state.withLock { $0.statuses.append(status) }
    }

    func linkStalled(_ link: BusLink) {
        self.state.withLock { $0.stalled.append(link) }
    }

    func add(_ report: RedisHealthReport) { self.state.withLock { $0.reports.append(report) } }
    func add(_ error: RedisSubscriptionError) { self.state.withLock { $0.errors.append(error) } }

    var messages: [Message] { self.state.withLock { $0.messages } }
    var texts: [String] { self.messages.map(\.text) }
    var statuses: [BusLinkStatus] { self.state.withLock { $0.statuses } }
    var stalled: [BusLink] { self.state.withLock { $0.stalled } }
    var reports: [RedisHealthReport] { self.state.withLock { $0.reports } }
    var errors: [RedisSubscriptionError] { self.state.withLock { $0.errors } }

    func count(_ text: String) -> Int { self.state.withLock { $0.messages.count { $0.text == text } } }
}

extension RedisBus.Configuration {
    /// Short waits, and deadlines that a busy machine keeps. A test of a deadline sets its own.
    static func quick(_ change: (inout Self) -> Void = { _ in }) -> Self {
        var configuration = Self()
        configuration.serverName = "tests"
        configuration.reconnectInitialDelay = .milliseconds(10)
        configuration.reconnectMaximumDelay = .milliseconds(200)
        configuration.authenticationRetryDelay = .milliseconds(200)
        configuration.probeInterval = .milliseconds(500)
        configuration.probeDeadline = .seconds(60)
        configuration.publishDeadline = .seconds(60)
        change(&configuration)
        return configuration
    }
}

/// How often the connections of a bus are made in a test. That they come back by themselves must not hide why they went.
enum ExpectedConnections: Sendable {
    /// Every attempt succeeds, and what it makes lasts.
    case once
    /// There is a fault: this often one is made anew.
    case again(ClosedRange<Int>)

    /// There is a fault, and none that is there goes.
    static let neverAgain = Self.again(0...0)

    func check(_ bus: RedisBus, _ location: SourceLocation) {
        let statistics = bus.statistics
        switch self {
        case .once:
            #expect(statistics.reconnects == 0, sourceLocation: location)
            #expect(statistics.failedAttempts == 0, sourceLocation: location)
        case .again(let expected):
            #expect(expected.contains(statistics.reconnects), "\(statistics)", sourceLocation: location)
        }
    }
}

/// Makes buses that adapters run, and looks at the end how often they have connected.
///
/// - Parameter nodes: those of each bus.
func withBuses<Result>(
    _ nodes: [[RedisNode]],
    _ configuration: RedisBus.Configuration = .quick(),
    connections: ExpectedConnections = .once,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: ([RedisBus]) async throws -> Result
) async throws -> Result {
    let buses = try nodes.map { try RedisBus(nodes: $0, configuration: configuration) }
    let result = try await body(buses)
    for bus in buses { connections.check(bus, sourceLocation) }
    return result
}

/// Runs a bus for the time of a test and waits for its end.
func withBus<Result: Sendable>(
    _ nodes: [RedisNode],
    _ configuration: RedisBus.Configuration = .quick(),
    connections: ExpectedConnections = .once,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (RedisBus, BusRecorder) async throws -> Result
) async throws -> Result {
    let bus = try RedisBus(
        nodes: nodes,
        configuration: configuration,
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    )
    let recorder = BusRecorder()
    bus.onHealthChange { recorder.add($0) }
    bus.onSubscriptionError { recorder.add($0) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await bus.run(recorder) }
        let result: Result
        do {
            result = try await body(bus, recorder)
            connections.check(bus, sourceLocation)
        } catch {
            group.cancelAll()
            throw error
        }
        group.cancelAll()
        try await group.waitForAll()
        return result
    }
}

extension RedisBus {
    /// Publishes and waits for the outcome.
    func send(_ text: String, to channel: String) async throws -> Publication {
        try await withCheckedThrowingContinuation { continuation in
            do {
                try self.publish(ByteBuffer(string: text), to: channel) { continuation.resume(with: $0) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }

    /// Waits until every link can be used both ways.
    func ready(_ count: Int) async throws {
        try await eventually("\(count) usable links: \(self.links)") {
            self.links.count { $0.canPublish && $0.canReceive } == count
        }
    }

    /// Publishes until a message has come back.
    func roundTrip(_ text: String, on channel: String, _ recorder: BusRecorder) async throws {
        try await eventually("\(text) comes back") {
            do { _ = try await self.send(text, to: channel) } catch is BusError {}
            return recorder.count(text) > 0
        }
    }
}
