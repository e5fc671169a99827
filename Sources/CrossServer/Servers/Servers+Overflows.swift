import CrossServerBus
import Logging
import NIOCore
import Synchronization

/// What there may be too much of, when other servers, or who speaks in their names, send too much.
enum Overflow: String, CaseIterable, Sendable {
    /// Servers that have not proved that they live.
    case candidates
    /// Servers that have.
    case members
    /// Questions whether this server lives.
    case questions
    /// Messages of servers that have not proved that they live.
    case unproved
    /// Messages that came too early.
    case held
    /// Streams of messages.
    case streams
    /// Live servers whose messages are followed.
    case senders
    /// Requests for repeats of servers that ask for too much.
    case requests
}

extension Servers {
    /// Counts what was dropped since the last time because there was too much of it, and says so. On the event loop.
    func reportOverflows() {
        let counts = self.overflowCounts
        let news = self.overflows.withLock { known in
            defer { known = counts }
            return counts.filter { $0.value > known[$0.key, default: 0] }
        }
        for (kind, count) in news {
            self.transport.throttles.overflow.log(
                self.transport.logger,
                level: .warning,
                "too much of other servers, or in their names: dropped",
                metadata: ["kind": "\(kind.rawValue)", "count": "\(count)"]
            )
        }
    }

    private var overflowCounts: [Overflow: Int] {
        let membership = self.membership.value.overflows
        var counts: [Overflow: Int] = [
            .candidates: membership.candidates, .members: membership.members, .questions: membership.questions,
        ]
        guard let courier = self.transport.courier else { return counts }
        let receiver = courier.receiverOverflows
        counts[.unproved] = receiver.unproved
        counts[.held] = receiver.held
        counts[.streams] = receiver.streams
        counts[.senders] = receiver.peers
        counts[.requests] = courier.senderLedger.overBudget
        return counts
    }
}
