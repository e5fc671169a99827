package import NIOCore

// What the owner hears. Every method returns messages that are to be sent now, in their order.
extension Locations {
    /// A server has delivered the message with the ask.
    ///
    /// - Parameter connectedFor: how long the client has been connected there.
    package mutating func answered(
        _ id: String,
        ask: UInt64,
        by holder: Holder,
        connectedFor: TimeAmount,
        now: NIODeadline
    ) -> [Dispatch] {
        self.found(id, ask)
        guard var entry = self.entries[id] else { return [] }
        let connected = now - connectedFor
        if let rival = entry.rival, rival.holder == holder {
            guard connected > rival.since else { return [] }
            entry.rival = nil
        }
        switch entry.phase {
        case .asking, .switching:
            guard entry.firstAsk > 0, (entry.firstAsk...entry.lastAsk).contains(ask) else { return [] }
            if ask == entry.lastAsk {
                entry.locate(holder, connected: connected, epoch: self.nextNumber())
                self.entries[id] = entry
                return self.release(id, now)
            }
            guard entry.phase == .asking else { return [] }
            entry.phase = .switching
            self.entries[id] = entry
            self.waiting[id] = Waiting(until: now + self.limits.maximumHold)
        case .located:
            guard ask == entry.lastAsk, let known = entry.holder, holder != known, connected > entry.connected
            else { return [] }
            // Two servers hold the client: the younger connection counts.
            entry.rival = (known, now)
            if entry.sent == 0 {
                entry.locate(holder, connected: connected, epoch: self.nextNumber())
            } else {
                entry.phase = .draining
                self.waiting[id] = Waiting(until: now + self.limits.maximumHold)
            }
            self.entries[id] = entry
        case .draining:
            break
        }
        return []
    }

    /// A server has sent a message back, because it does not hold the client (any more) or has sent back one before it.
    ///
    /// The same may be said of a message that nobody received, when nobody can ask for it later: where messages have no
    /// numbers.
    package mutating func refused(
        _ id: String,
        epoch: UInt64,
        number: UInt64,
        frame: ByteBuffer,
        now: NIODeadline
    ) -> [Dispatch] {
        guard let entry = self.entries[id], entry.epoch == epoch, (1...max(entry.sent, 1)).contains(number),
            entry.phase == .located || entry.phase == .draining, self.hasRoom(for: frame)
        else {
            // What was taken back has been sent elsewhere.
            if self.entries[id]?.hasTaken(epoch, number) != true { self.cameTooLate(id) }
            return []
        }
        if entry.phase == .located {
            self.entries[id]?.phase = .draining
            self.waiting[id] = Waiting(until: now + self.limits.maximumHold)
        }
        self.waiting[id]?.unheard[number] = nil
        if self.waiting[id]?.refused.updateValue(frame, forKey: number) == nil { self.countHeld(frame) }
        guard self.isDrained(id, entry.sent), self.waiting[id]?.isUndecided == false else { return [] }
        return self.takeBack(id, now)
    }

    /// The client has logged in at another server. What is sent to the holder yet it delivers or sends back.
    ///
    /// To be told in order of the logins, as far as that is known: a server that does not hold the client sends back what
    /// it gets, and the client is looked for.
    package mutating func moved(_ id: String, to holder: Holder, now: NIODeadline) -> [Dispatch] {
        guard let entry = self.entries[id], entry.phase == .located || entry.phase == .draining else { return [] }
        if entry.phase == .located, holder == entry.holder {
            self.entries[id]?.next = nil
            self.dropCopies(of: id)
        } else if entry.phase == .located, entry.sent == 0 {
            let epoch = self.nextNumber()
            self.entries[id]?.locate(holder, connected: now, epoch: epoch)
        } else {
            self.entries[id]?.next = holder
            let isUndecided = self.waiting[id]?.isUndecided ?? false
            if isUndecided, entry.holder.map(self.suspects.contains) == true { return self.giveUp(id, now) }
        }
        return []
    }

    /// Whether all that was not delivered has come back.
    func isDrained(_ id: String, _ last: UInt64) -> Bool {
        guard let refused = self.waiting[id]?.refused, refused[last] != nil, let first = refused.keys.min() else {
            return false
        }
        return UInt64(refused.count) == last - first + 1
    }

    /// Sends what has waited for too long to all servers. To be called ten times a second.
    package mutating func tick(now: NIODeadline) -> [Dispatch] {
        self.entries.forget(now: now, keeping: self.waiting.keys)
        self.expireCopies(now)
        self.expireSearches(now)
        return self.waiting.filter { $0.value.until <= now }.keys.sorted().flatMap { self.hasWaited($0, now) }
    }

    /// The client has connected to this server. What it is owed from before is nothing.
    ///
    /// - Returns: what has waited; for the client here.
    package mutating func connectedHere(_ id: String, now: NIODeadline) -> [Dispatch] {
        self.searches[id] = nil
        guard var entry = self.entries[id] else { return [] }
        if entry.phase == .located || entry.holder.map(self.suspects.contains) == true { self.loseCopies(of: id) }
        entry.taken = self.entries[id]?.taken
        self.dropCopies(of: id)
        self.withdrawUnheard(id)
        let dispatches = self.askAgain(id, now)
        if entry.phase == .located, entry.sent > 0 {
            // What is under way to the former holder must not come after what is sent when the client is there again.
            self.entries[id] = entry
            self.entries[id]?.epoch = 0
            self.waitForEnd(of: id, now)
        } else if dispatches.isEmpty {
            self.entries[id] = nil
        }
        return dispatches
    }

    /// Lets messages wait until what was sent last has come to its end, which it has if that was long ago.
    mutating func waitForEnd(of id: String, _ now: NIODeadline) {
        guard let entry = self.entries[id] else { return }
        let end = entry.lastSent + self.limits.maximumHold
        if entry.sent > 0, end > now {
            self.entries[id]?.phase = .draining
            self.waiting[id] = Waiting(until: end)
        } else {
            self.entries[id]?.ask()
        }
    }

    /// Sends what waits to where the client has moved; when that is not known, to all.
    mutating func goOn(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        self.dropCopies(of: id)
        guard let next = self.entries[id]?.next else { return self.askAgain(id, now) }
        let epoch = self.nextNumber()
        self.entries[id]?.locate(next, connected: now, epoch: epoch)
        return self.release(id, now)
    }

    private mutating func askAgain(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        self.entries[id]?.ask()
        return self.release(id, now)
    }
}

extension Locations.Entry {
    mutating func locate(_ holder: Holder, connected: NIODeadline, epoch: UInt64) {
        self.phase = .located
        self.holder = holder
        self.connected = connected
        self.epoch = epoch
        self.sent = 0
        self.next = nil
    }
}
