package import NIOCore

// Holders that have died, or may have: nobody delivers what was sent to them, and nobody sends it back.
extension Locations {
    /// The answer to the publication says that nobody has received a message to a holder's inbox.
    ///
    /// What is sent to the client waits from now on: until the holder is ``heard(_:now:)`` again, for then it asks for the
    /// message; until it is ``suspected(_:now:)`` and the client has moved; or until it has left (``serverLeft(_:now:)``).
    package mutating func unheard(
        _ id: String,
        epoch: UInt64,
        number: UInt64,
        ticket: DeliveryTicket,
        frame: ByteBuffer,
        now: NIODeadline
    ) -> [Dispatch] {
        guard let entry = self.entries[id], entry.epoch == epoch, (1...max(entry.sent, 1)).contains(number),
            entry.phase == .located || entry.phase == .draining
        else {
            let isSentElsewhere = self.entries[id]?.hasTaken(epoch, number) == true
            if self.withdraw(ticket) != .repeated, !isSentElsewhere { self.lost(id) }
            return []
        }
        if let copy = self.copies[id]?.frames.removeValue(forKey: number) { self.uncountHeld(copy) }
        guard self.hasRoom(for: frame) else {
            if self.withdraw(ticket) != .repeated { self.lost(id) }
            return []
        }
        if entry.phase == .located {
            self.entries[id]?.phase = .draining
            self.waiting[id] = Waiting(until: now + self.limits.maximumHold)
        }
        if self.waiting[id]?.refused.updateValue(frame, forKey: number) == nil { self.countHeld(frame) }
        self.waiting[id]?.unheard[number] = ticket
        let isSuspect = entry.holder.map(self.suspects.contains) ?? false
        if self.waiting[id]?.isGivenUp == true || (isSuspect && entry.next != nil) { return self.giveUp(id, now) }
        return []
    }

    /// Holders whose messages nobody has heard, and of whom it is not known whether they live.
    package var undecided: Set<Holder> {
        Set(self.waiting.compactMap { id, waiting in waiting.isUndecided ? self.entries[id]?.holder : nil })
    }

    /// No link delivers to the holder's inbox.
    package mutating func suspected(_ holder: Holder, now: NIODeadline) -> [Dispatch] {
        self.suspects.insert(holder)
        // Its clients that are elsewhere need not wait for its end.
        let undecided = self.waiting.keys.filter { id in
            self.waiting[id]?.isUndecided == true && self.entries[id]?.isAt(holder) == true
                && self.entries[id]?.next != nil
        }
        let copied = self.copies.keys.filter { id in
            self.copies[id]?.frames.isEmpty == false && self.entries[id]?.isAt(holder) == true
        }
        return Set(undecided).union(copied).sorted().flatMap { self.giveUp($0, now) }
    }

    /// The holder lives: what nobody has heard it asks for.
    package mutating func heard(_ holder: Holder, now: NIODeadline) -> [Dispatch] {
        self.suspects.remove(holder)
        let ids = self.waiting.keys.filter { id in
            self.waiting[id]?.isUndecided == true && self.entries[id]?.isAt(holder) == true
        }
        return ids.sorted().flatMap { self.resume($0, now) }
    }

    /// A server is no member of the cluster any more: its clients are located again.
    ///
    /// Of messages that were sent a moment ago it may still be said that nobody received them.
    package mutating func serverLeft(_ holder: Holder, now: NIODeadline) -> [Dispatch] {
        self.suspects.remove(holder)
        for id in self.entries.keys(where: { $0.next == holder }) {
            self.entries[id]?.next = nil
            self.dropCopies(of: id)
        }
        let located = self.entries.keys(where: { $0.phase == .located && $0.holder == holder })
        for id in located where self.copies[id]?.frames.isEmpty ?? true {
            self.waitForEnd(of: id, now)
            self.waiting[id]?.isGivenUp = true
        }
        let copied = located.filter { self.copies[$0]?.frames.isEmpty == false }
        let draining = self.waiting.keys.filter { !located.contains($0) && self.entries[$0]?.isAt(holder) == true }
        return (copied + draining).sorted().flatMap { self.giveUp($0, now) }
    }

    /// Takes back what the holder has not sent back, as soon as all of it is known.
    mutating func giveUp(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        guard let entry = self.entries[id] else { return [] }
        if entry.phase == .located {
            self.entries[id]?.phase = .draining
            self.waiting[id] = Waiting(until: now + self.limits.outcomeWithin)
        }
        guard var waiting = self.waiting[id] else { return [] }
        waiting.isGivenUp = true
        waiting.until = min(waiting.until, now + self.limits.outcomeWithin)
        self.waiting[id] = waiting
        self.addCopies(of: id, above: 0)
        return self.isDrained(id, entry.sent) ? self.takeBack(id, now) : []
    }

    private mutating func addCopies(of id: String, above last: UInt64) {
        for (number, frame) in self.copies.removeValue(forKey: id)?.frames ?? [:] {
            let isNew = number > last && self.waiting[id]?.refused.updateValue(frame, forKey: number) == nil
            if !isNew { self.uncountHeld(frame) }
        }
    }

    /// Sends again what the holder has not delivered.
    mutating func takeBack(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        self.withdrawUnheard(id)
        guard let waiting = self.waiting[id], let entry = self.entries[id] else { return [] }
        self.entries[id]?.taken = (entry.epoch, Set(waiting.refused.keys))
        let dispatches = self.goOn(id, now)
        let asks = dispatches.compactMap { if case .shared(let ask) = $0.route { ask } else { nil } }
        if waiting.isGivenUp, !asks.isEmpty {
            let until = now + self.limits.maximumHold
            self.searches[id, default: Search(asks: [], until: until)].asks.formUnion(asks)
            self.searches[id]?.until = until
        }
        return dispatches
    }

    /// The holder may live after all. Then it does not get what goes another way, and what it has asked for goes no other way.
    mutating func withdrawUnheard(_ id: String) {
        for (number, ticket) in self.waiting[id]?.unheard ?? [:] {
            let withdrawal = self.withdraw(ticket)
            guard withdrawal != .withdrawn, let frame = self.waiting[id]?.refused.removeValue(forKey: number)
            else { continue }
            self.uncountHeld(frame)
            if withdrawal == .uncertain { self.lost(id) }
        }
        self.waiting[id]?.unheard = [:]
    }

    private mutating func resume(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        guard var waiting = self.waiting[id] else { return [] }
        for number in waiting.unheard.keys {
            if let frame = waiting.refused.removeValue(forKey: number) { self.uncountHeld(frame) }
        }
        waiting.unheard = [:]
        // What it has sent back before it could not be heard is followed by the rest.
        let isRefusing = !waiting.refused.isEmpty
        if isRefusing { waiting.until = now + self.limits.maximumHold }
        self.waiting[id] = waiting
        guard !isRefusing else { return [] }
        self.entries[id]?.phase = .located
        return self.release(id, now)
    }

    /// The time is over.
    mutating func hasWaited(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        guard let waiting = self.waiting[id] else { return [] }
        guard waiting.isUndecided else {
            guard let first = waiting.refused.keys.min() else {
                self.loseCopies(of: id)
                return self.goOn(id, now)
            }
            // From the first one on that it has sent back it delivers none.
            self.addCopies(of: id, above: first)
            return self.takeBack(id, now)
        }
        if self.entries[id]?.holder.map(self.suspects.contains) == true {
            // Its death, or its voice, decides it.
            self.waiting[id]?.until = now + self.limits.maximumHold
            return []
        }
        return self.resume(id, now)
    }

    // MARK: What is lost

    /// The holder has not sent them back, and it is too late to send them again.
    mutating func loseCopies(of id: String) {
        guard let copies = self.copies[id], let entry = self.entries[id] else { return }
        self.entries[id]?.taken = (entry.epoch, Set(copies.frames.keys))
        self.lost(id, count: copies.frames.count)
        self.dropCopies(of: id)
    }

    mutating func found(_ id: String, _ ask: UInt64) {
        guard !self.searches.isEmpty, self.searches[id]?.asks.remove(ask) != nil else { return }
        if self.searches[id]?.asks.isEmpty == true { self.searches[id] = nil }
    }

    mutating func expireSearches(_ now: NIODeadline) {
        for (id, search) in self.searches where search.until <= now {
            self.lost(id, count: search.asks.count)
            self.searches[id] = nil
        }
    }

    mutating func expireCopies(_ now: NIODeadline) {
        for (id, copies) in self.copies {
            guard now - copies.since >= self.limits.refusedWithin || self.entries[id] == nil else { continue }
            self.entries[id]?.next = nil
            self.dropCopies(of: id)
        }
    }
}

extension Locations.Entry {
    /// Whether something may be under way to the holder.
    fileprivate func isAt(_ holder: Holder) -> Bool {
        self.holder == holder && (self.phase == .located || self.phase == .draining)
    }

    func hasTaken(_ epoch: UInt64, _ number: UInt64) -> Bool {
        self.taken.map { $0.epoch == epoch && $0.numbers.contains(number) } ?? false
    }
}
