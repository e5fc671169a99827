import CoreMetrics
import CrossServerBus
import NIOCore
import Synchronization

// Counting costs the messages nothing: what the server counts anyhow is handed to the metrics backend now and then.
// Documentation/metrics.md has a table of all of them.
extension WebSocketCrossServerAdapter {
    private static let metricsInterval = TimeAmount.seconds(5)

    /// - Returns: nil when nobody takes the metrics.
    func startMetrics() -> RepeatedTask? {
        let factory = self.configuration.metricsFactory ?? MetricsSystem.factory
        guard !(factory is NOOPMetricsHandler) else { return nil }
        let book = MetricsBook(factory: factory, dimensions: [("server", self.serverName)])
        self.metrics.withLock { $0 = book }
        return self.transport.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.metricsInterval) {
            [weak self] _ in
            self?.recordMetrics()
        }
    }

    /// Records them now, and not only when it is time.
    package func updateMetrics() async throws {
        try await self.transport.eventLoop.submit { self.recordMetrics() }.get()
    }

    /// On the transport's event loop.
    func recordMetrics() {
        // Taken out meanwhile: the backend is the application's, and must not run under the lock.
        guard var book = self.metrics.withLock({ $0.take() }) else { return }
        self.recordClients(in: &book)
        self.recordServers(in: &book)
        self.recordOverflows(in: &book)
        self.recordDelivery(in: &book)
        book.endUpdate()
        let recorded = book
        self.metrics.withLock { $0 = recorded }
    }

    private func recordClients(in book: inout MetricsBook) {
        let statistics = self.statistics
        book.record("crossserver.ready", self.readiness.isReady ? 1 : 0)
        book.record("crossserver.connections", statistics.connections)
        book.record("crossserver.connections.lingering", statistics.lingeringClients)
        for reason in ConnectionRefusals.Reason.allCases {
            book.count("crossserver.connections.refused", self.refusals[reason], ("reason", reason.rawValue))
        }
        book.record("crossserver.sockets", statistics.boundIds)
        book.record("crossserver.rooms", statistics.rooms)
        book.record("crossserver.requests", statistics.outstandingRequests, ("to", "clients"))
        book.record("crossserver.requests", statistics.cluster.outstandingRequests, ("to", "servers"))
        book.count("crossserver.client.messages", statistics.messagesReceived, ("direction", "received"))
        book.count("crossserver.client.messages", statistics.messagesSent, ("direction", "sent"))
        book.count("crossserver.client.messages.dropped", statistics.invalidMessages, ("reason", "invalid"))
        book.count("crossserver.client.messages.dropped", statistics.messagesOverRate, ("reason", "rate"))
        book.count("crossserver.client.messages.dropped", statistics.messagesDropped, ("reason", "slow"))
        book.count("crossserver.handler.failures", statistics.handlerFailures, ("from", "clients"))
        book.count("crossserver.handler.failures", statistics.cluster.handlerFailures, ("from", "servers"))
        book.count("crossserver.clients.shed", statistics.connectionsShed)
        let memory = statistics.memory
        book.record("crossserver.memory.bytes", memory.received, ("part", "received"))
        book.record("crossserver.memory.bytes", memory.queued, ("part", "queued"))
        book.record("crossserver.memory.bytes", memory.sending, ("part", "sending"))
        book.record("crossserver.memory.bytes", memory.compression, ("part", "compression"))
        book.record("crossserver.memory.limit", self.configuration.limits.maximumMemory)
        book.count("crossserver.replies.ignored", statistics.repliesIgnored, ("from", "clients"))
        book.count("crossserver.replies.ignored", statistics.cluster.repliesIgnored, ("from", "servers"))
    }

    private func recordServers(in book: inout MetricsBook) {
        guard let bus = self.transport.bus else { return }
        let (live, unreachable, originals) = self.cluster.servers.roster.withLock {
            ($0.members.count + 1, $0.unreachable.count, $0.originalServerCount)
        }
        book.record("crossserver.cluster.servers", live, ("kind", "live"))
        book.record("crossserver.cluster.servers", unreachable, ("kind", "unreachable"))
        book.record("crossserver.cluster.servers", originals, ("kind", "original"))
        let proved = self.cluster.servers.membership.value.linksProved
        for link in bus.links {
            book.record("crossserver.bus.link.up", proved.contains(link.link) ? 1 : 0, ("link", link.name))
        }
        let statistics = self.statistics.cluster
        book.count("crossserver.bus.messages", statistics.messagesSent, ("direction", "sent"))
        book.count("crossserver.bus.messages", statistics.eventsReceived, ("direction", "received.events"))
        book.count("crossserver.bus.messages", statistics.clientMessagesReceived, ("direction", "received.clients"))
        book.count("crossserver.bus.messages.dropped", statistics.invalidMessages, ("reason", "invalid"))
        book.count("crossserver.bus.messages.dropped", statistics.handlersRefused, ("reason", "handlers"))
        book.count("crossserver.bus.messages.dropped", statistics.clientMessagesDropped, ("reason", "eventloop"))
        book.count("crossserver.bus.messages.dropped", statistics.messagesNotSent, ("reason", "unsent"))
    }

    private func recordOverflows(in book: inout MetricsBook) {
        for (kind, count) in self.cluster.servers.overflows.withLock({ $0 }) {
            book.count("crossserver.cluster.overflows", count, ("kind", kind.rawValue))
        }
    }

    private func recordDelivery(in book: inout MetricsBook) {
        guard let courier = self.transport.courier else { return }
        let ledger = self.cluster.ledger()
        book.count("crossserver.delivery.sent", ledger.sent)
        book.count("crossserver.delivery.republished", ledger.republished)
        book.count("crossserver.delivery.repeated", ledger.repeated)
        book.count("crossserver.delivery.refused", ledger.refused)
        book.count("crossserver.delivery.besteffort", ledger.bestEffort)
        book.count("crossserver.delivery.replaced", ledger.replaced)
        book.count("crossserver.delivery.unreachable", ledger.unreachable)
        for (name, received) in ledger.received { self.record(received, of: name, in: &book) }
        book.count("crossserver.delivery.unanswered", courier.senderLedger.unanswered)
        let bytes = courier.sendingBytes
        book.record("crossserver.delivery.bytes", bytes.history, ("kind", "history"))
        book.record("crossserver.delivery.bytes", bytes.queue, ("kind", "queue"))
        book.record("crossserver.delivery.bytes", courier.holdBytes, ("kind", "hold"))
    }

    private func record(_ received: DeliveryLedger.Received, of peer: String, in book: inout MetricsBook) {
        let life = received.incarnation
        book.count("crossserver.delivery.owed", received.sent, life: life, ("peer", peer))
        for (outcome, count) in [
            ("delivered", received.delivered), ("repaired", received.repaired), ("missed", received.missed),
            ("repeat", received.repeats), ("late", received.late), ("besteffort", received.bestEffort),
        ] {
            book.count("crossserver.delivery.received", count, life: life, ("peer", peer), ("outcome", outcome))
        }
        book.count("crossserver.delivery.gaps.unknown", received.unknownGaps, life: life, ("peer", peer))
        book.record("crossserver.delivery.pending", received.pending, ("peer", peer))
    }
}
