import CrossServerBus
import NIOCore
import Synchronization

/// Which requests wait for long enough that it is worth asking whether anybody is left to answer.
struct OverdueReplies: Sendable {
    /// How often that is looked at.
    static let interval = TimeAmount.milliseconds(20)
    /// For how long a suspect is waited for, since it became one. With what it takes to find that out it is below 250 ms.
    static let suspectPatience = TimeAmount.milliseconds(180)

    private var nextAt = NIODeadline.uptimeNanoseconds(0)
    /// The last request at the look before.
    private var lastNumber: UInt64 = 0

    /// - Parameter number: of the last request.
    /// - Returns: that of the last one that is overdue; nil when it is not yet time to look.
    mutating func look(lastNumber number: UInt64, now: NIODeadline) -> UInt64? {
        guard now >= self.nextAt else { return nil }
        defer {
            self.lastNumber = number
            self.nextAt = now + Self.interval
        }
        return self.lastNumber
    }
}

// A server that nobody hears any more is suspect, and not waited for long. Redis is asked for that only while somebody waits.
extension ClusterNode {
    /// Redis is not asked for one server more often.
    private static let countingInterval = TimeAmount.milliseconds(50)
    /// Servers that are asked for at once. The rest has its turn next time.
    private static let maximumCounted = 256

    /// Looks after requests that wait. On the event loop.
    func checkOverdueReplies(_ now: NIODeadline) {
        let awaited: Set<String>? = self.requests.withLock { requests in
            requests.watch.look(lastNumber: requests.table.lastNumber, now: now).map {
                requests.table.awaited(through: $0, maximum: Self.maximumCounted)
            }
        }
        guard let awaited else { return }
        let (lives, suspects) = self.roster.withLock { roster in
            (
                awaited.compactMap { roster.members[$0].map { Holder($0) } },
                roster.suspects.filter { now - $0.value >= OverdueReplies.suspectPatience }.keys.sorted()
            )
        }
        self.countInboxes(of: lives, now)
        for name in suspects { self.endRequests(to: name, .suspected) }
    }

    /// Asks the links that are proved who hears the inboxes of servers. On the event loop.
    func countInboxes(of servers: some Sequence<Holder>, _ now: NIODeadline) {
        guard let bus = self.bus else { return }
        self.countedInboxes.value = self.countedInboxes.value.filter { now - $0.value < Self.countingInterval }
        let due = Array(servers.filter { self.countedInboxes.value[$0] == nil }.prefix(Self.maximumCounted))
        guard !due.isEmpty else { return }
        for server in due { self.countedInboxes.value[server] = now }
        let channels = due.map { self.channels.inbox(of: $0.name, incarnation: $0.incarnation) }
        for link in self.membership.value.linksProved {
            // Answered or given up by the bus, at the latest when it ends.
            bus.countSubscribers(of: channels, over: link) { counts in
                self.eventLoop.execute { self.counted(counts, of: due, over: link, askedAt: now) }
            }
        }
    }

    private func counted(_ counts: [Int]?, of servers: [Holder], over link: BusLink, askedAt: NIODeadline) {
        if let counts, counts.count == servers.count {
            self.changeMembership { membership, now in
                zip(servers, counts).flatMap { server, count in
                    membership.inboxHeard(by: count, of: server.incarnation, over: link, askedAt: askedAt, now: now)
                }
            }
        }
        // One that a link reaches, or of whom it cannot say, asks for what it has missed.
        let undecided = self.routing.withLock { $0.locations.undecided }
        for (index, server) in servers.enumerated() where undecided.contains(server) {
            if counts.map({ $0.count != servers.count || $0[index] > 0 }) ?? true { self.isSuspect(server, false) }
        }
    }
}
