import CrossServerBus
import NIOCore
import Synchronization

/// What the bus means for the readiness of a server, as it was found last.
struct BusReadiness: Sendable {
    var problems: [Readiness.Problem] = []
    /// Nil before the first look.
    var foundAt: NIODeadline?
}

/// Which channels have been wanted for too long without being heard.
struct SubscriptionWatch: Sendable {
    /// Answers of the Redis node that take less than this are no problem: channels come and go all the time.
    static let patience = TimeAmount.seconds(1)
    /// Channels that are named; the rest is counted.
    static let maximumNamed = 8

    private var since: [String: NIODeadline] = [:]

    mutating func problems(_ missing: [UnsubscribedChannel], now: NIODeadline) -> [Readiness.Problem] {
        if missing.isEmpty, self.since.isEmpty { return [] }
        var next: [String: NIODeadline] = [:]
        for channel in missing { next[channel.channel] = self.since[channel.channel] ?? now }
        self.since = next
        let late = missing.filter { channel in
            channel.refusal != nil || next[channel.channel].map { now - $0 >= Self.patience } ?? false
        }.sorted { $0.channel < $1.channel }
        var problems = late.prefix(Self.maximumNamed).map { channel in
            Readiness.Problem.notSubscribed(channel: channel.channel, refusal: channel.refusal)
        }
        if late.count > problems.count { problems.append(.moreNotSubscribed(count: late.count - problems.count)) }
        return problems
    }
}

extension Servers {
    /// Finds out how the bus is. On the event loop.
    func updateReadiness(_ now: NIODeadline) {
        guard let bus = self.transport.bus else { return }
        let unreachable = self.membership.value.unreachable(now: now)
        self.transport.unreachableCount.store(unreachable.count, ordering: .relaxed)
        self.roster.withLock { $0.unreachable = unreachable }
        let proved = self.membership.value.linksProved
        var problems: [Readiness.Problem] = []
        if proved.isEmpty {
            problems = [.busUnusable(links: bus.links.map(\.description))]
        } else {
            let missing = bus.channelsNotSubscribed(over: proved)
            problems = self.subscriptionWatch.value.problems(missing, now: now)
        }
        self.busReadiness.withLock { $0 = BusReadiness(problems: problems, foundAt: now) }
    }

    /// What hinders this server in its talk with others.
    func problems(now: NIODeadline) -> [Readiness.Problem] {
        guard let bus = self.transport.bus else { return [] }
        let found = self.busReadiness.withLock { $0 }
        guard let foundAt = found.foundAt else { return [.busUnusable(links: bus.links.map(\.description))] }
        // Then what was found says nothing any more: no link would be proved.
        let isRecent = now - foundAt <= Membership.Configuration().proofLasts
        return isRecent ? found.problems : [.unresponsive]
    }
}
