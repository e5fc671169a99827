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
        /// The connection was closed or refused, and nobody asked for a new one yet.
        case disconnected
        /// The repeat limit was reached, and nobody asked to begin anew yet.
        case exhausted
        case finished
    }

    enum Action: Equatable {
        case connect
        /// Wait, then call ``waited()``.
        case wait(attempt: Int, delay: Duration)
        /// Close by hand; ``connectionEnded(_:random:)`` follows.
        case closeConnection
        /// Give up the attempt or the wait under way; it was the last.
        case abandon
        /// No attempt is left, unless the application begins anew.
        case repeatLimit(Int)
        case finish
    }

    /// What becomes of an attempt that has failed.
    enum Verdict: Equatable {
        /// Tried again after the ordinary wait, on top of the time that the server has asked for.
        case retry(after: Duration = .zero)
        /// Tried again after the longest wait: little will change soon.
        case retryRarely
        /// Not tried again unless the application asks.
        case stop
    }

    /// How a connection that was open has ended.
    struct End: Equatable {
        /// An error brings the connector back by itself, a close does not.
        var isError = false
        /// Whether it had lasted long enough to show that the server is well: attempts count from the beginning again.
        var hasHeld = false
        /// Whether the server does not know who the client is.
        var isRefusal = false
    }

    private(set) var phase = Phase.idle
    /// Attempts to connect again since the last connection that has held.
    private(set) var attempts = 0
    /// Whether the server has refused the client: then the next wait is the longest.
    private var isRefused = false
    let policy: ReconnectPolicy
    let repeatLimit: Int?

    init(policy: ReconnectPolicy, repeatLimit: Int?) {
        self.policy = policy
        self.repeatLimit = repeatLimit
    }

    var isReconnecting: Bool {
        switch self.phase {
        case .connecting, .waiting: self.attempts > 0
        case .idle, .open, .closing, .disconnected, .exhausted, .finished: false
        }
    }

    mutating func start() -> Action? {
        guard self.phase == .idle else { return nil }
        self.phase = .connecting
        return .connect
    }

    mutating func opened() {
        guard self.phase == .connecting else { return }
        self.phase = .open
        self.isRefused = false
    }

    mutating func attemptFailed(_ verdict: Verdict = .retry(), random: Double) -> Action? {
        guard self.phase == .connecting else { return nil }
        self.isRefused = verdict == .retryRarely || verdict == .stop
        if verdict == .stop {
            self.phase = .disconnected
            return nil
        }
        var asked = Duration.zero
        if case .retry(let after) = verdict { asked = after }
        return self.nextAttempt(random: random, asked: asked)
    }

    mutating func connectionEnded(_ end: End, random: Double) -> Action? {
        switch self.phase {
        case .open, .closing:
            if end.hasHeld { self.attempts = 0 }
            self.isRefused = end.isRefusal
        case .idle, .connecting, .waiting, .disconnected, .exhausted, .finished:
            return nil
        }
        switch self.phase {
        case .closing(reconnects: false):
            return self.finish(.finish)
        case .closing(reconnects: true):
            return self.nextAttempt(random: random)
        default:
            if end.isError, !end.isRefusal { return self.nextAttempt(random: random) }
            self.phase = .disconnected
            return nil
        }
    }

    mutating func waited() -> Action? {
        guard self.phase == .waiting else { return nil }
        self.phase = .connecting
        return .connect
    }

    mutating func reconnect(resetAttempts: Bool, random: Double) -> Action? {
        if resetAttempts, self.phase != .finished {
            self.attempts = 0
            self.isRefused = false
        }
        switch self.phase {
        case .open:
            self.phase = .closing(reconnects: true)
            return .closeConnection
        case .disconnected:
            return self.nextAttempt(random: random)
        case .waiting where resetAttempts:
            return self.nextAttempt(random: random)
        // Without a single attempt there is nothing to begin.
        case .exhausted where resetAttempts && self.repeatLimit != 0:
            return self.nextAttempt(random: random)
        case .idle, .connecting, .closing, .waiting, .exhausted, .finished:
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
        case .idle, .disconnected, .exhausted:
            return self.finish(.finish)
        case .finished:
            return nil
        }
    }

    private mutating func nextAttempt(random: Double, asked: Duration = .zero) -> Action {
        if let limit = self.repeatLimit, self.attempts >= limit {
            self.phase = .exhausted
            return .repeatLimit(limit)
        }
        self.attempts += 1
        self.phase = .waiting
        let delay = self.policy.delay(
            attempt: self.attempts,
            isRefused: self.isRefused,
            asked: asked,
            random: random
        )
        return .wait(attempt: self.attempts, delay: delay)
    }

    private mutating func finish(_ action: Action) -> Action {
        self.phase = .finished
        self.attempts = 0
        return action
    }
}
