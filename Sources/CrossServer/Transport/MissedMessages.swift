import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Messages of another server that this one will never get.
public struct MissedMessages: Sendable, Hashable {
    /// The name of the server that sent them.
    public var server: String
    /// Nil when not even the sender knows: there may have been some.
    public var channel: String?
    /// How many; nil when nobody knows.
    public var count: Int?
    public var reason: Reason

    public enum Reason: String, Sendable, Hashable {
        /// The sender does not keep them any more: it keeps 30 s and 32 MiB.
        case notKept
        /// The sender has died, or stopped, before they could be sent again.
        case senderEnded
    }
}

extension Transport {
    func missed(_ gap: DeliveryGap) {
        let count = gap.first.map { Int(clamping: gap.last - $0 + 1) }
        self.counters.messagesMissed.wrappingAdd(count ?? 1, ordering: .relaxed)
        self.throttles.missed.log(
            self.logger,
            level: .warning,
            "messages of another server are lost",
            metadata: [
                "sender": "\(LogText(gap.name))", "channel": "\(LogText(gap.channel ?? "unknown"))",
                "count": "\(count ?? 1)",
            ]
        )
        let reason: MissedMessages.Reason = if case .ended = gap.reason { .senderEnded } else { .notKept }
        self.gaps.emit(MissedMessages(server: gap.name, channel: gap.channel, count: count, reason: reason))
    }
}
