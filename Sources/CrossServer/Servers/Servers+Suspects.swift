import CrossServerBus
import NIOCore
import Synchronization

// A server that nobody hears any more is suspect, and not waited for long. Redis is asked for that only while somebody waits.
extension Servers {
    /// Redis is not asked for one server more often.
    private static let countingInterval = TimeAmount.milliseconds(50)
    /// Servers that are asked for at once. The rest has its turn next time.
    static let maximumCounted = 256

    /// Asks the links that are proved who hears the inboxes of servers. On the event loop.
    func countInboxes(of servers: some Sequence<Holder>, _ now: NIODeadline) {
        guard let bus = self.transport.bus else { return }
        self.countedInboxes.value = self.countedInboxes.value.filter { now - $0.value < Self.countingInterval }
        let due = Array(servers.filter { self.countedInboxes.value[$0] == nil }.prefix(Self.maximumCounted))
        guard !due.isEmpty else { return }
        for server in due { self.countedInboxes.value[server] = now }
        let channels = due.map { self.transport.channels.inbox(of: $0.name, incarnation: $0.incarnation) }
        for link in self.membership.value.linksProved {
            // Answered or given up by the bus, at the latest when it ends.
            bus.countSubscribers(of: channels, over: link) { counts in
                self.transport.eventLoop.execute { self.counted(counts, of: due, over: link, askedAt: now) }
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
        for (index, server) in servers.enumerated() {
            if counts.map({ $0.count != servers.count || $0[index] > 0 }) ?? true {
                self.delegate.value?.isHeard(server)
            }
        }
    }
}
