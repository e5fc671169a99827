import CrossServerBus
import Synchronization

extension RedisBus {
    /// A link is waited for when its subscribing connection is there. At least one has to be, with a publishing one.
    public func subscribed(to channels: [String], within timeout: Duration) async throws {
        let channels = Set(channels)
        let clock = ContinuousClock()
        let deadline = clock.now + min(timeout, .seconds(86_400))
        while true {
            // Made before the links are looked at, so that no change is missed.
            let changes = self.core.changes.stream()
            let (links, isWanted) = self.core.table.withLock { table in
                (table.entries.map(\.link), channels.isSubset(of: table.wanted))
            }
            guard isWanted else { throw BusError(.subscriptionFailed, "a channel is not wanted") }
            if channels.isEmpty { return }
            if try await self.isSubscribed(channels, on: links, within: deadline - clock.now) { return }
            guard await Self.next(of: changes, within: deadline - clock.now) else {
                try Task.checkCancellation()
                throw BusError(.notConnected, "no Redis node can be subscribed on\(self.core.problems)")
            }
        }
    }

    /// - Returns: false when no link is usable.
    private func isSubscribed(
        _ channels: Set<String>,
        on links: [RedisLink],
        within timeout: Duration
    ) async throws -> Bool {
        let outcomes = await withTaskGroup { group in
            for link in links {
                group.addTask { (link, await link.subscribed(to: channels, within: timeout)) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        try Task.checkCancellation()
        var isConfirmed = false
        for (link, outcome) in outcomes {
            switch outcome {
            case .confirmed: isConfirmed = isConfirmed || self.core.isUsable(link)
            case .unusable: continue
            case .refused(let channel, let message):
                throw BusError(.subscriptionFailed, "\(link.name) does not subscribe \(channel): \(message)")
            case .timedOut:
                throw BusError(.notConnected, "\(link.name) did not answer within the time")
            }
        }
        return isConfirmed
    }

    private static func next(of changes: AsyncStream<Void>, within timeout: Duration) async -> Bool {
        await withTaskGroup { group in
            group.addTask {
                for await _ in changes { return true }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: timeout)  // throws when it is not needed any more
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }
}
