import CrossServerBus
import NIOCore

// What an adapter around the machines does.
extension SimulatedNode {
    // MARK: Receiving

    func received(_ item: Connection.ToNode, on connection: Connection) {
        let link = connection.link
        switch item {
        case .end: self.closed(connection)
        case .published(let id):
            while let first = link.outstanding.first, first.id <= id { link.outstanding.removeFirst() }
        case .counted(let life, let count, let askedAt):
            let now = self.now
            self.perform(self.membership.inboxHeard(by: count, of: life, over: link.link, askedAt: askedAt, now: now))
        case .subscribed(let channel):
            guard link.subscriber === connection, self.channels[channel] != nil else { return }
            link.acknowledged.insert(channel)
            self.checkSubscriptions()
            self.changed(link)
        case .message(let channel, let packet):
            guard link.subscriber === connection, self.channels[channel] != nil else { return }
            self.received(packet, on: channel, link)
        }
    }

    private func received(_ packet: Packet, on channel: String, _ link: SimulatedLink) {
        switch packet {
        case .announcement(let announcement):
            if let incarnation = UInt64(announcement.incarnation, radix: 36), announcement.kind != .left {
                self.receiver.heard(incarnation, uptime: announcement.uptime, now: self.now)
            }
            self.perform(self.membership.received(announcement, over: link.link, now: self.now))
        case .bytes(let bytes) where DeliveryFrame.isFrame(bytes):
            self.simulation.journal.frames += 1
            guard let frame = DeliveryFrame(bytes) else {
                return self.simulation.journal.contradict("a frame is unreadable")
            }
            self.receiver.received(frame, over: link.link, now: self.now)
            self.perform(self.sender.received(frame, over: link.link, now: self.now))
            self.takeActions()
        case .bytes(let bytes):
            if self.receiver.received(bytes, on: channel, over: link.link, now: self.now) {
                self.simulation.journal.delivered(bytes, on: channel, to: self)
            }
            self.takeActions()
        }
    }

    // MARK: Sending

    func send(_ channel: String, audience: UInt64? = nil) {
        let pid = self.simulation.journal.makeMessage(self.simulation.now)
        let key = pid.isMultiple(of: 4) ? "\(pid % 3)" : nil
        var message = ByteBuffer()
        message.writeMultipleIntegers(UInt8(0x81), UInt8(0xa1), UInt8(ascii: "d"), UInt8(0xcf), UInt64(pid))
        switch self.sender.send(&message, to: channel, audience: audience, key: key, now: self.now) {
        case .publish(let ticket, let link, let more):
            self.simulation.journal.sent(pid, ticket.number, by: self, on: channel)
            var failed: [(DeliveryTicket, BusLink)] = []
            for link in [link] + more where !self.publish(.bytes(message), to: channel, over: link, ticket) {
                failed.append((ticket, link))
            }
            for (ticket, link) in failed {
                self.perform(self.sender.unanswered([ticket], over: link, now: self.now))
            }
        case .waiting(let id, let replaced):
            self.waiting[id] = (pid, channel)
            if let replaced, let (older, _) = self.waiting.removeValue(forKey: replaced) {
                self.simulation.journal.replaced(older)
            }
        case .refused: self.simulation.journal.refused(pid)
        }
        self.tickSoon(10_000)
    }

    func sendOnce(_ channel: String) {
        var message = ByteBuffer()
        message.writeMultipleIntegers(UInt8(0x81), UInt8(0xa1), UInt8(ascii: "o"), UInt8(0xcf), UInt64(0))
        guard case .success(let links) = self.sender.sendOnce(&message, now: self.now) else { return }
        self.simulation.journal.sentOnce(message, by: self)
        for link in links { self.publish(.bytes(message), to: channel, over: link, nil) }
    }

    /// - Returns: false when the link is gone.
    @discardableResult
    private func publish(_ packet: Packet, to channel: String, over link: BusLink, _ ticket: DeliveryTicket?) -> Bool {
        let link = self.links[link.number]
        guard let publisher = link.publisher else { return false }
        self.simulation.journal.published += 1
        link.lastID += 1
        link.outstanding.append(.init(id: link.lastID, ticket: ticket, sentAt: self.simulation.now))
        publisher.send(.publish(link.lastID, channel, packet))
        // A client library that repeats what it was not sure of.
        if ticket != nil, self.simulation.chance(self.simulation.scenario.duplication),
            let other = self.simulation.pick(self.links), let publisher = other.publisher
        {
            other.lastID += 1
            other.outstanding.append(.init(id: other.lastID, ticket: nil, sentAt: self.simulation.now))
            publisher.send(.publish(other.lastID, channel, packet))
        }
        return true
    }

    func takeActions() {
        while true {
            let actions = self.receiver.takeActions()
            if actions.isEmpty { break }
            self.perform(actions)
        }
        if self.receiver.isBusy { self.tickSoon(5_000) }
    }

    func perform(_ actions: [DeliveryAction]) {
        for action in actions {
            switch action {
            case .publish(let message, let channel, let link, let ticket, let waiting):
                if let waiting, let (pid, channel) = self.waiting.removeValue(forKey: waiting) {
                    self.simulation.journal.sent(pid, ticket.number, by: self, on: channel)
                }
                if !self.publish(.bytes(message), to: channel, over: link, ticket) {
                    self.perform(self.sender.unanswered([ticket], over: link, now: self.now))
                }
            case .tell(let message, let channel, let link):
                self.publish(.bytes(message), to: channel, over: link, nil)
            case .refuse(let id, _, _):
                if let (pid, _) = self.waiting.removeValue(forKey: id) { self.simulation.journal.refused(pid) }
            case .deliver(let message, let channel, _):
                self.simulation.journal.delivered(message, on: channel, to: self)
            case .gap(let gap):
                self.simulation.journal.gap(gap, of: self)
            }
        }
        if self.sender.isBusy { self.tickSoon(10_000) }
    }

    func perform(_ actions: [MembershipAction]) {
        var hasChanged = false
        for action in actions {
            switch action {
            case .send(let announcement, let destination, let link):
                let channel =
                    switch destination {
                    case .everyone: Self.cluster
                    case .inbox(let name, let incarnation): "csbp:node:\(name):\(incarnation)"
                    }
                self.publish(.announcement(announcement), to: channel, over: link, nil)
                continue
            case .joined(let member):
                let holder = Holder(name: member.name, incarnation: member.incarnation)
                _ = self.hearing.joined(holder)
                if let incarnation = UInt64(member.incarnation, radix: 36) {
                    self.receiver.joined(incarnation, name: member.name, uptime: member.uptime, now: self.now)
                }
            case .left(let member, let reason):
                if case .died = reason { self.died(member) }
                if let incarnation = UInt64(member.incarnation, radix: 36) {
                    self.simulation.checkFarewell(incarnation, reason, seenBy: self)
                    self.receiver.left(incarnation, reason, now: self.now)
                }
            case .changed, .cleared: break
            case .suspected(let member): self.suspected(member)
            case .nameTaken(let other):
                self.refusedBy = other.incarnation
                self.simulation.note("\(self.name) is refused")
                return self.simulation.refused(self, by: other.incarnation)
            case .linkProved(_, let since):
                self.checkSubscriptions()
                if let since { self.receiver.mayHaveMissed(since: since, now: self.now) }
            case .linkLost(_, let since):
                self.receiver.mayHaveMissed(since: since, now: self.now)
            case .heartbeatMissed(let incarnation, let since):
                if let incarnation = UInt64(incarnation, radix: 36) {
                    self.receiver.mayHaveMissed(since: since, of: incarnation, now: self.now)
                }
            }
            hasChanged = true
        }
        if hasChanged { self.reached() }
    }

    func reached() {
        let reach = self.membership.reach()
        self.receiver.update(reach)
        self.perform(self.sender.update(reach, now: self.now))
        self.takeActions()
    }
}
