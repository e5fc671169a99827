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

/// What has become of messages between servers. All that another server has sent on channels that this one hears are
/// delivered, repaired or missed, or still on their way.
public struct DeliveryLedger: Sendable, Hashable, Codable {
    /// Messages that this server has sent to others; each counts once, however many hear it.
    public var sent = 0
    /// Of those: published again over another link, because nobody could tell whether the first time counted.
    public var republished = 0
    /// Of those: sent again because a server asked.
    public var repeated = 0
    /// Messages that were not sent; the caller got an error.
    public var refused = 0
    /// By the name of the sending server.
    public var received: [String: Received] = [:]

    public struct Received: Sendable, Hashable, Codable {
        /// That came by themselves.
        public var delivered = 0
        /// That came after the sender was asked for them.
        public var repaired = 0
        /// That will never come: reported as ``MissedMessages``.
        public var missed = 0
        /// That came again, and were dropped.
        public var repeats = 0
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
            metadata: ["sender": "\(gap.name)", "channel": "\(gap.channel ?? "unknown")", "count": "\(count ?? 1)"]
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
            while !isHurried, !courier.mayGo {
                // Ends by itself: the courier gives the others a time.
                try await Task.sleep(for: .milliseconds(5))
            }
            let missing = try await self.eventLoop.submit { courier.end() }.get()
            if !missing.isEmpty {
                self.logger.notice("servers may miss messages", metadata: ["count": "\(missing.count)"])
            }
        } catch {
            self.logger.notice("not all messages were sent", metadata: ["reason": "\(error)"])
        }
    }

    func ledger() async -> DeliveryLedger {
        guard let courier = self.courier else { return DeliveryLedger() }
        var ledger = DeliveryLedger()
        let sender = courier.senderLedger
        ledger.sent = sender.sent
        ledger.republished = sender.republished
        ledger.repeated = sender.repeated
        ledger.refused = sender.refused
        let members = self.roster.withLock { $0.members.mapValues(\.incarnation) }
        let received: EventLoopFuture<[String: ReceiverLedger]> = self.eventLoop.submit {
            members.compactMapValues { courier.ledger(of: $0) }
        }
        do {
            ledger.received = try await received.get().mapValues {
                .init(delivered: $0.delivered, repaired: $0.repaired, missed: $0.missing, repeats: $0.repeats)
            }
        } catch {
            self.logger.debug("the event loop has stopped", metadata: ["error": "\(error)"])
        }
        return ledger
    }
}

extension WebSocketCrossServerAdapter {
    /// Runs the closure when messages of another server are lost for this one, on an event loop: it must not block.
    public func onMissedMessages(_ handler: @escaping @Sendable (MissedMessages) -> Void) {
        self.cluster.gaps.add(handler)
    }

    /// Messages that are lost for this server, from now on. Ends with it. When 1,000 wait, the oldest is dropped.
    public var missedMessages: AsyncStream<MissedMessages> { self.cluster.gaps.stream() }

    /// What has become of the messages between this server and those that live now.
    public var deliveryLedger: DeliveryLedger {
        get async { await self.cluster.ledger() }
    }
}
