/// How long to wait before the next attempt to connect.
///
/// The wait grows by 3 % with each failure up to a maximum: so a server that was away for a second is found again after some
/// 50 ms, and attempts to reach one that is away for long burden nobody. Each is shortened by a random share of up to one half, so that many nodes do not come
/// back to a server at the same moment. A server that refuses the password is asked less often: the password may be
/// rotated, but most often a person has to act.
struct Backoff: Sendable {
    private let initial: Duration
    private let maximum: Duration
    /// After a refused password.
    private let authentication: Duration
    /// The longest that the next wait can be.
    private var next: Duration

    init(initial: Duration, maximum: Duration, authentication: Duration) {
        self.initial = min(initial, maximum)
        self.maximum = maximum
        self.authentication = authentication
        self.next = self.initial
    }

    init(_ configuration: RedisBus.Configuration) {
        self.init(
            initial: configuration.reconnectInitialDelay,
            maximum: configuration.reconnectMaximumDelay,
            authentication: configuration.authenticationRetryDelay
        )
    }

    /// - Parameters:
    ///   - lasted: how long the connection was usable; nil if it never was. One that lasted longer than the longest
    ///     wait starts the series anew.
    ///   - random: 0 to 1; 1 gives the longest wait.
    mutating func delay(after kind: RedisFailure.Kind, lasted: Duration?, random: Double) -> Duration {
        if self.hasLasted(lasted) { self.next = self.initial }
        let base = kind == .authentication ? self.authentication : self.next
        self.next = min(self.next * 1.03, self.maximum)
        return base * (0.5 + 0.5 * min(max(random, 0), 1))
    }

    /// Whether the wait ends when another connection was made: it may be the same trouble that is over. A connection that
    /// was made and did not last has a trouble of its own, and two such would keep each other busy.
    func isCutShort(after kind: RedisFailure.Kind, lasted: Duration?) -> Bool {
        switch kind {
        case .authentication, .refused, .protocolViolation, .stopped: false
        default: lasted == nil || self.hasLasted(lasted)
        }
    }

    private func hasLasted(_ lasted: Duration?) -> Bool { lasted.map { $0 >= self.maximum } ?? false }
}
