import Synchronization

/// A number that any thread may add to.
struct Counter: ~Copyable, Sendable {
    private let value = Atomic<Int>(0)

    func add(_ count: Int) {
        if count != 0 { self.value.wrappingAdd(count, ordering: .relaxed) }
    }

    var current: Int { self.value.load(ordering: .relaxed) }
}

/// The counts of ``RedisStatistics``.
final class Counters: Sendable {
    let published = Counter()
    let failed = Counter()
    let received = Counter()
    let reconnects = Counter()
    let dropped = Counter()
    let tooLarge = Counter()
    let failedAttempts = Counter()

    var statistics: RedisStatistics {
        RedisStatistics(
            published: self.published.current,
            failed: self.failed.current,
            received: self.received.current,
            reconnects: self.reconnects.current,
            dropped: self.dropped.current,
            tooLarge: self.tooLarge.current,
            failedAttempts: self.failedAttempts.current
        )
    }
}
