/// How long to wait before the next attempt to connect.
///
/// The wait doubles with each failure up to a maximum, and each is shortened by a random share of up to one half, so
/// that many nodes do not come back to a server at the same moment. A server that refuses the password is asked less
/// often: the password may be rotated, but most often a person has to act.
struct Backoff: Sendable {
    var initial: Duration
    var maximum: Duration
    /// After a refused password.
    var authentication: Duration
    private var failures = 0

    init(initial: Duration, maximum: Duration, authentication: Duration) {
        self.initial = initial
        self.maximum = maximum
        self.authentication = authentication
    }

    /// - Parameters:
    ///   - lasted: how long the connection was usable; nil if it never was. One that lasted longer than the longest
    ///     wait starts the series anew.
    ///   - random: 0 to 1; 1 gives the longest wait.
    mutating func delay(after kind: RedisFailure.Kind, lasted: Duration?, random: Double) -> Duration {
        if let lasted, lasted >= self.maximum { self.failures = 0 }
        var base = min(self.initial, self.maximum)
        for _ in 0..<self.failures where base < self.maximum { base = min(base * 2, self.maximum) }
        self.failures = min(self.failures + 1, 64)
        if kind == .authentication { base = self.authentication }
        return base * (0.5 + 0.5 * min(max(random, 0), 1))
    }
}
