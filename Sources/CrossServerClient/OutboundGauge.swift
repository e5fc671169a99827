import Synchronization

/// How many bytes wait to be sent, for threads that may not ask the connection itself.
final class OutboundGauge: Sendable {
    /// Handed over by other threads, not yet taken by the event loop.
    private let posted = Atomic<Int>(0)
    /// In the connection, when the event loop looked last.
    private let waiting = Atomic<Int>(0)
    let maximum: Int

    init(maximum: Int) {
        self.maximum = maximum
    }

    /// Reserves room for a message. A single message is always admitted when nothing waits.
    func admit(_ bytes: Int) -> Bool {
        let before = self.posted.wrappingAdd(bytes, ordering: .relaxed).oldValue
        let level = before + self.waiting.load(ordering: .relaxed)
        guard level == 0 || level + bytes <= self.maximum else {
            self.posted.wrappingSubtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    /// The event loop has taken a message.
    func taken(_ bytes: Int) {
        self.posted.wrappingSubtract(bytes, ordering: .relaxed)
    }

    func setWaiting(_ bytes: Int) {
        self.waiting.store(bytes, ordering: .relaxed)
    }
}
