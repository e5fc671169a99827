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

extension ClusterNode: Courier.Delegate {
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

    func doubt(_ link: BusLink) {
        self.changeMembership { membership, now in membership.probe(link, now: now) }
    }

    /// Waits until the other servers have everything, for at most 2.5 s.
    func leave(isHurried: Bool) async {
        guard let courier = self.courier else { return }
        do {
            try await self.eventLoop.submit { courier.leave() }.get()
            while !isHurried, !courier.mayGo, !Task.isCancelled {
                // Ends by itself: the courier gives the others a time. Cancelled, it goes without them.
                try? await Task.sleep(for: .milliseconds(5))
            }
            let missing = try await self.eventLoop.submit { courier.end() }.get()
            if !missing.isEmpty {
                self.logger.notice("servers may miss messages", metadata: ["count": "\(missing.count)"])
            }
        } catch {
            self.logger.notice("not all messages were sent", metadata: ["reason": "\(LogText(error))"])
        }
    }
}

extension WebSocketCrossServerAdapter {
    /// Runs the closure when messages of another server are lost for this one, on an event loop: it must not block.
    public func onMissedMessages(_ handler: @escaping @Sendable (MissedMessages) -> Void) {
        self.cluster.gaps.add(handler)
    }

    /// Messages that are lost for this server, from now on. Ends with it. When 1,000 wait, the oldest is dropped.
    public var missedMessages: AsyncStream<MissedMessages> { self.cluster.gaps.stream() }
}
