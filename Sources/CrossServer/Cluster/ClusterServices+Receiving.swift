import CrossServerBus
import CrossServerWire
import Logging
import NIOCore

// What comes over the bus is decoded here, and handed to the part that it concerns.
extension ClusterServices: NumberingBusReceiver {
    var serverName: String { self.transport.name }

    func linkChanged(_ status: BusLinkStatus) {
        self.servers.changeMembership { membership, now in membership.linkChanged(status, now: now) }
        if status.canReceive { self.presence.askSoon() }
    }

    func publishFailed(_ number: UInt64, over link: BusLink) {
        self.transport.courier?.publishFailed(number, over: link)
    }

    func linkStalled(_ link: BusLink) {
        self.transport.courier?.stalled(link)
    }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        self.received(message, on: channel, over: link, at: .now())
    }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink, at time: NIODeadline) {
        guard self.transport.channels.isReserved(channel) else {
            return self.events.receivedCustom(message, on: channel)
        }
        if let courier = self.transport.courier {
            courier.received(message, on: channel, over: link, at: time, for: self)
        } else {
            self.deliver(message, on: channel, over: link)
        }
    }

    /// A message that is the next one of its sender, or has no number.
    func deliver(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        do throws(BusMessageError) {
            let way = Way(link: link, encoding: BusEncoding(of: message))
            if channel == self.transport.channels.cluster { return try self.receivedSystem(message, way) }
            // This server has handled its own events when it sent them. But to its inbox it sends what it wants to hear, and
            // another server with its name asks there which of the two may keep it.
            let isInbox = channel == self.transport.inbox
            let decoded =
                isInbox
                ? try BusMessage(decoding: message) : try BusMessage(decoding: message, for: self.transport.name)
            guard let decoded else { return self.servers.lookForNamesake(message) }
            // Consumed, since copies of the cases would cost more than what is done with them.
            switch consume decoded {
            case .event(let event): self.received(event, on: channel, isInbox: isInbox, way)
            case .reply(let reply): self.received(reply)
            case .clients(let clients):
                guard clients.sender != self.transport.name else { return self.servers.lookForNamesake(message) }
                self.remoteClients.received(clients, on: channel)
            }
        } catch {
            self.transport.refused("\(error)", on: channel)
        }
    }

    /// How an event has come: its answer goes the same way.
    private struct Way {
        var link: BusLink
        var encoding: BusEncoding
    }

    private func receivedSystem(_ message: ByteBuffer, _ way: Way) throws(BusMessageError) {
        // Also this server's own, and those of a server with the same name.
        guard case .event(let event) = try BusMessage(decoding: message) else {
            return self.transport.refused("no event", on: self.transport.channels.cluster)
        }
        self.receivedSystem(event, way)
    }

    /// What one of our servers says to another, apart from the application's events.
    private func receivedSystem(_ event: CrossServerEvent, _ way: Way) {
        guard let announcement = Announcement(event) else {
            // This server has answered its own questions when it asked them.
            guard event.sender != self.transport.name else { return }
            return self.answer(event, self.reply(to: event, way))
        }
        self.transport.courier?.heard(announcement, now: .now())
        self.servers.changeMembership { membership, now in membership.received(announcement, over: way.link, now: now) }
    }

    private func received(_ event: CrossServerEvent, on channel: String, isInbox: Bool, _ way: Way) {
        if isInbox, event.targets.isEmpty { return self.receivedSystem(event, way) }
        if !isInbox, self.transport.channels.isPresence(channel) { return self.presence.received(event, on: channel) }
        guard event.sender != self.transport.name, event.targets.isEmpty || event.targets.contains(self.transport.name)
        else { return }
        ClusterCounters.increment(self.transport.counters.eventsReceived)
        self.events.handle(event, self.reply(to: event, way))
    }

    private func reply(to event: CrossServerEvent, _ way: Way) -> ServerReply? {
        event.callbackID.map { id in
            let remote = ServerReply.Remote(
                server: event.sender,
                callbackID: id,
                link: way.link,
                encoding: way.encoding
            )
            return ServerReply(self.requests, .remote(remote))
        }
    }

    private func received(_ reply: CrossServerReply) {
        guard let id = RequestID(reply.callbackID), id.incarnation == self.transport.incarnation else { return }
        self.requests.answered(id.number, by: reply.sender, reply.payload, error: reply.error)
    }
}

extension ClusterServices: Courier.Delegate {
    func missed(_ gap: DeliveryGap) {
        self.transport.missed(gap)
    }

    func unsent(on channel: String, _ error: BusError) {
        self.transport.unsent(on: channel, error)
    }

    func refused(_ problem: String, on channel: String) {
        self.transport.refused(problem, on: channel)
    }

    func doubt(_ link: BusLink) {
        self.servers.changeMembership { membership, now in membership.probe(link, now: now) }
    }
}
