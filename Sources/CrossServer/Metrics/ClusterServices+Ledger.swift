import CrossServerBus
import NIOCore
import Synchronization

extension ClusterServices {
    /// On the event loop.
    func ledger() -> DeliveryLedger {
        var ledger = DeliveryLedger()
        ledger.incarnation = self.transport.incarnation
        guard let courier = self.transport.courier else { return ledger }
        let sender = courier.senderLedger
        ledger.sent = sender.sent
        ledger.republished = sender.republished
        ledger.repeated = sender.repeated
        ledger.refused = sender.refused
        ledger.bestEffort = sender.once
        ledger.replaced = sender.replaced
        ledger.unreachable = self.transport.counters.messagesUnreachable.load(ordering: .relaxed)
        let members = self.servers.roster.withLock { $0.members.values.map { ($0.name, $0.incarnation) } }
        let servers = members.compactMap { name, text in UInt64(text, radix: 36).map { (name: name, incarnation: $0) } }
        for (server, count) in zip(servers, courier.sent(toInboxesOf: servers)) { ledger.sentTo[server.name] = count }
        // Of several lives of one name the one that lives, if there is one.
        let lives = courier.senders.sorted {
            ($0.isLive ? 1 : 0, $0.incarnation) < ($1.isLive ? 1 : 0, $1.incarnation)
        }
        for life in lives {
            ledger.received[life.name] = courier.ledger(of: life.incarnation).map { .init($0, of: life.incarnation) }
        }
        return ledger
    }
}

extension DeliveryLedger.Received {
    init(_ ledger: ReceiverLedger, of incarnation: UInt64) {
        self.init(
            incarnation: String(incarnation, radix: 36),
            sent: ledger.owed,
            delivered: ledger.delivered,
            repaired: ledger.repaired,
            missed: ledger.missing,
            pending: ledger.pending,
            repeats: ledger.repeats,
            late: ledger.late,
            unknownGaps: ledger.unknownGaps,
            bestEffort: ledger.once
        )
    }
}
