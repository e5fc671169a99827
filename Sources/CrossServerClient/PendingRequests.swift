/// The requests whose replies are awaited, by their callback id.
struct PendingRequests<Waiter> {
    private var waiters: [String: Waiter] = [:]
    let maximum: Int

    init(maximum: Int) {
        self.maximum = maximum
    }

    var count: Int { self.waiters.count }
    var isFull: Bool { self.waiters.count >= self.maximum }

    /// - Precondition: not ``isFull``.
    mutating func insert(_ waiter: Waiter, id: String) {
        precondition(!self.isFull)
        self.waiters[id] = waiter
    }

    /// - Returns: nil for an id that nobody waits for: unknown, answered, expired or cancelled.
    mutating func remove(_ id: String) -> Waiter? {
        self.waiters.removeValue(forKey: id)
    }

    mutating func removeAll() -> [Waiter] {
        defer { self.waiters = [:] }
        return Array(self.waiters.values)
    }
}
