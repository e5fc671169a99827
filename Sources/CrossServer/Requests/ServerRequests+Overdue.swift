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

// Redis is asked who hears the servers that are waited for, only while somebody waits.
extension ServerRequests {
    /// Looks after requests that wait. On the event loop.
    func checkOverdueReplies(_ now: NIODeadline) {
        let awaited: Set<String>? = self.pending.withLock { pending in
            pending.watch.look(lastNumber: pending.table.lastNumber, now: now).map {
                pending.table.awaited(through: $0, maximum: Servers.maximumCounted)
            }
        }
        guard let awaited else { return }
        let (lives, suspects) = self.servers.roster.withLock { roster in
            (
                awaited.compactMap { roster.members[$0].map { Holder($0) } },
                roster.suspects.filter { now - $0.value >= OverdueReplies.suspectPatience }.keys.sorted()
            )
        }
        self.servers.countInboxes(of: lives, now)
        for name in suspects { self.endRequests(to: name, .suspected) }
    }
}
