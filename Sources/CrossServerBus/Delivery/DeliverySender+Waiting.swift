import DequeModule
package import NIOCore

extension DeliverySender {
    mutating func wait(_ message: ByteBuffer, _ key: String?, _ index: Int, _ now: NIODeadline) -> Outcome {
        let older = key.flatMap { self.streams[index].waiting.older($0) }
        let size = Self.size(message, key) - (older.map { Self.size($0.bytes, key) } ?? 0)
        guard self.waitingBytes + size <= self.configuration.queueBytes else {
            return self.refused(self.routes.usable.isEmpty ? .queueFull : .unreachable)
        }
        self.lastWaiting += 1
        self.waitingBytes += size
        let waiting = WaitingMessages.Message(
            bytes: message,
            since: self.uptime(now),
            id: self.lastWaiting,
            key: key
        )
        self.streams[index].waiting.append(waiting)
        self.waitingStreams.insert(index)
        if older != nil { self.ledger.replaced += 1 }
        return .waiting(self.lastWaiting, replacing: older?.id)
    }

    private func route(_ index: Int) -> BusLink? {
        self.streams[index].epoch == self.routes.epoch ? self.streams[index].link : nil
    }

    /// Sends what waited, as far as there are links now: at most 1 MiB in each call.
    mutating func flush(_ now: NIODeadline) -> [DeliveryAction] {
        var actions: [DeliveryAction] = []
        var budget = 1 << 20
        self.resendUnsure(&budget, &actions)
        let oldest = self.uptime(now) - self.configuration.queueTime.nanoseconds / 1_000_000
        for index in self.waitingStreams.sorted() {
            let channel = self.streams[index].channel
            if self.streams[index].epoch != self.routes.epoch { self.choose(index) }
            while var first = self.streams[index].waiting.first {
                let hasExpired = first.since < oldest
                guard hasExpired || (self.route(index) != nil && budget > 0) else { break }
                self.streams[index].waiting.removeFirst()
                let size = Self.size(first.bytes, first.key)
                self.waitingBytes -= size
                budget -= size
                if hasExpired {
                    self.ledger.refused += 1
                    let reason: DeliveryRefusal = self.routes.usable.isEmpty ? .expired : .unreachable
                    actions.append(.refuse(waiting: first.id, on: channel, reason))
                } else if let link = self.route(index), let ticket = self.number(&first.bytes, index, now) {
                    self.publish(first.bytes, index, link, ticket, waiting: first.id, &actions)
                } else {
                    self.ledger.refused += 1
                    actions.append(.refuse(waiting: first.id, on: channel, .cannotBeNumbered))
                }
            }
            if self.streams[index].waiting.isEmpty { self.waitingStreams.remove(index) }
        }
        return actions
    }

    private func publish(
        _ message: ByteBuffer,
        _ index: Int,
        _ link: BusLink,
        _ ticket: DeliveryTicket,
        waiting: UInt64?,
        _ actions: inout [DeliveryAction]
    ) {
        let channel = self.streams[index].channel
        actions.append(.publish(message, to: channel, over: link, ticket, waiting: waiting))
        for link in self.more(index) {
            actions.append(.publish(message, to: channel, over: link, ticket, waiting: nil))
        }
    }

    // MARK: What became of it

    /// These messages were published on the link, and nobody can tell whether it has taken them: it was lost, or has not
    /// answered for 200 ms. They go out on another one at once. The link is not used until a probe that was sent later
    /// has come back.
    package mutating func unanswered(
        _ tickets: some Sequence<DeliveryTicket>,
        over link: BusLink,
        now: NIODeadline
    ) -> [DeliveryAction] {
        self.suspended[link] = now
        self.routes.update(self.reach, suspended: self.suspended)
        self.unsure.append(contentsOf: tickets)
        return self.flush(now)
    }

    private mutating func resendUnsure(_ budget: inout Int, _ actions: inout [DeliveryAction]) {
        var blocked = Deque<DeliveryTicket>()
        while budget > 0, let ticket = self.unsure.popFirst() {
            let index = Int(ticket.stream)
            guard self.streams.indices.contains(index), let message = self.message(index, ticket.number)
            else { continue }
            if self.streams[index].epoch != self.routes.epoch { self.choose(index) }
            guard let link = self.route(index) else {
                blocked.append(ticket)
                continue
            }
            budget -= Self.size(message)
            self.ledger.republished += 1
            self.streams[index].republishedThrough = max(self.streams[index].republishedThrough, ticket.number)
            self.publish(message, index, link, ticket, waiting: nil, &actions)
        }
        self.unsure = blocked + self.unsure
    }

    /// Takes a number back when the message was not sent after all. Possible only for the last one of its stream, at once.
    ///
    /// - Returns: false when it is too late: the message counts as sent.
    package mutating func cancel(_ ticket: DeliveryTicket) -> Bool {
        let index = Int(ticket.stream)
        guard self.streams.indices.contains(index), self.streams[index].last == ticket.number,
            self.order.last == ticket.stream, let entry = self.streams[index].entries.popLast()
        else { return false }
        self.order.removeLast()
        self.kept.removeLast(entry.place)
        self.streams[index].last -= 1
        self.ledger.sent -= 1
        self.ledger.refused += 1
        return true
    }

    /// Takes back a message that a link has given to nobody, so that it can go another way. Who asks for its number gets a
    /// message that holds nothing.
    package mutating func withdraw(_ ticket: DeliveryTicket) -> Withdrawal {
        let index = Int(ticket.stream)
        guard self.streams.indices.contains(index) else { return .withdrawn }
        guard ticket.number > self.streams[index].repeatedThrough else { return .repeated }
        // What is not kept nobody can ask for.
        if self.hasKept(index, ticket.number) { self.streams[index].withdrawn.insert(ticket.number) }
        return ticket.number > self.streams[index].republishedThrough ? .withdrawn : .uncertain
    }

    private func hasKept(_ index: Int, _ number: UInt64) -> Bool {
        let stream = self.streams[index]
        return number <= stream.last && stream.last - number < UInt64(stream.entries.count)
    }

    /// What is sent again; nil when it is not kept.
    func message(_ index: Int, _ number: UInt64) -> ByteBuffer? {
        guard self.hasKept(index, number) else { return nil }
        let entries = self.streams[index].entries
        let entry = entries[entries.count - 1 - Int(self.streams[index].last - number)]
        let message = self.kept.message(at: entry.place)
        guard self.streams[index].withdrawn.contains(number) else { return message }
        return Stamp(endOf: message)?.emptyMessage
    }
}
