/// Where a connector is in its life, and what comes next. A value without sockets and clocks: each method takes what
/// happened and returns what is to be done.
struct ConnectorState {
    enum Phase: Equatable {
        /// `run()` has not been called.
        case idle
        case connecting
        case open
        /// Our Close frame is under way.
        case closing(reconnects: Bool)
        /// Before the next attempt.
        case waiting
        /// The connection was closed, and nobody asked for a new one yet.
        case disconnected
        case finished
    }

    enum Action: Equatable {
        case connect
        /// Wait, then call ``waited()``.
        case wait(attempt: Int, delay: Duration)
        /// Close by hand; ``connectionEnded(withError:random:)`` follows.
        case closeConnection
        /// Give up the attempt or the wait under way; it was the last.
        case abandon
        /// No attempt is left. The connector has finished.
        case repeatLimit(Int)
        case finish
    }

    private(set) var phase = Phase.idle
    /// Attempts to connect again since the last open connection.
    private(set) var attempts = 0
    let policy: ReconnectPolicy
    let repeatLimit: Int?

    init(policy: ReconnectPolicy, repeatLimit: Int?) {
        self.policy = policy
        self.repeatLimit = repeatLimit
    }

    var isReconnecting: Bool { self.attempts > 0 }

    mutating func start() -> Action? {
        guard self.phase == .idle else { return nil }
        self.phase = .connecting
        return .connect
    }

    mutating func opened() {
        guard self.phase == .connecting else { return }
        self.phase = .open
        self.attempts = 0
    }

    mutating func attemptFailed(random: Double) -> Action? {
        guard self.phase == .connecting else { return nil }
        return self.nextAttempt(random: random)
    }

    /// - Parameter withError: an error brings the connector back by itself, a close does not.
    mutating func connectionEnded(withError: Bool, random: Double) -> Action? {
        switch self.phase {
        case .open where withError, .closing(reconnects: true):
            return self.nextAttempt(random: random)
        case .open:
            self.phase = .disconnected
            return nil
        case .closing(reconnects: false):
            return self.finish(.finish)
        case .idle, .connecting, .waiting, .disconnected, .finished:
            return nil
        }
    }

    mutating func waited() -> Action? {
        guard self.phase == .waiting else { return nil }
        self.phase = .connecting
        return .connect
    }

    mutating func reconnect(resetAttempts: Bool, random: Double) -> Action? {
        if resetAttempts, self.phase != .finished { self.attempts = 0 }
        switch self.phase {
        case .open:
            self.phase = .closing(reconnects: true)
            return .closeConnection
        case .disconnected:
            return self.nextAttempt(random: random)
        case .waiting where resetAttempts:
            return self.nextAttempt(random: random)
        case .idle, .connecting, .closing, .waiting, .finished:
            return nil
        }
    }

    mutating func close() -> Action? {
        switch self.phase {
        case .open:
            self.phase = .closing(reconnects: false)
            return .closeConnection
        case .closing:
            self.phase = .closing(reconnects: false)
            return nil
        case .connecting, .waiting:
            return self.finish(.abandon)
        case .idle, .disconnected:
            return self.finish(.finish)
        case .finished:
            return nil
        }
    }

    private mutating func nextAttempt(random: Double) -> Action {
        if let limit = self.repeatLimit, self.attempts >= limit { return self.finish(.repeatLimit(limit)) }
        self.attempts += 1
        self.phase = .waiting
        return .wait(attempt: self.attempts, delay: self.policy.delay(attempt: self.attempts, random: random))
    }

    private mutating func finish(_ action: Action) -> Action {
        self.phase = .finished
        self.attempts = 0
        return action
    }
}
