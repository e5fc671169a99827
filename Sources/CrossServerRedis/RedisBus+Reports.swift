import CrossServerBus
import Synchronization

extension RedisBus {
    /// Runs the closure for every report, on an event loop: it must not block.
    public func onHealthChange(_ handler: @escaping @Sendable (RedisHealthReport) -> Void) {
        self.core.health.add(handler)
    }

    /// Reports from now on. Ends with the bus. When 1,000 wait, the oldest is dropped.
    public var healthChanges: AsyncStream<RedisHealthReport> { self.core.health.stream() }

    /// Runs the closure for every report, on an event loop: it must not block.
    public func onSubscriptionError(_ handler: @escaping @Sendable (RedisSubscriptionError) -> Void) {
        self.core.subscriptionErrors.add(handler)
    }

    /// Reports from now on. Ends with the bus. When 1,000 wait, the oldest is dropped.
    public var subscriptionErrors: AsyncStream<RedisSubscriptionError> { self.core.subscriptionErrors.stream() }

    /// Nodes whose connection of this kind is usable.
    public func healthyNodeCount(_ role: RedisRole) -> Int {
        self.core.table.withLock { $0.healthyCount(role) }
    }

    public var nodeCount: Int { self.core.table.withLock { $0.entries.count } }

    public var statistics: RedisStatistics { self.core.counters.statistics }
}
