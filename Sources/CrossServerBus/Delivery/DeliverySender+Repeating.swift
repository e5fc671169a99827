import DequeModule
package import NIOCore

extension DeliverySender {
    /// A stop that waits until the others have everything.
    struct Leaving: Sendable {
        var deadline: Int64
        var nextAt: Int64
        /// Something was sent since the heads were collected.
        var isOutOfDate = true
        var token: UInt64 = 0
        /// By server, the frames that it has not acknowledged.
        var open: [UInt64: Set<UInt64>] = [:]
        var heads: [UInt64: [(token: UInt64, heads: [DeliveryFrame.Head])]] = [:]
        var turn = 0
    }

    /// Takes a frame that came for this server: a request or an acknowledgement. Only live servers are answered, each
    /// within its ``AnswerBudget``.
    package mutating func received(_ frame: DeliveryFrame, over link: BusLink, now: NIODeadline) -> [DeliveryAction] {
        guard frame.target == self.incarnation, frame.incarnation != self.incarnation else { return [] }
        if case .acknowledge(let token) = frame.body { self.leaving?.open[frame.incarnation]?.remove(token) }
        guard frame.body.isRequest else { return [] }
        guard let name = self.reach.servers[frame.incarnation]?.name else {
            self.ledger.unanswered += 1
            return []
        }
        guard self.mayAnswer(frame.incarnation, now) else {
            self.ledger.overBudget += 1
            return []
        }
        var actions: [DeliveryAction] = []
        let asker = Asker(name: name, incarnation: frame.incarnation, link: self.answering(frame.incarnation, link))
        switch frame.body {
        case .request(let channel, let missing, let token):
            self.answer(asker, channel, missing, token, &actions)
        case .requestSince(let channel, let uptime, let token):
            self.answer(asker, channel, since: uptime, token, &actions)
        case .requestHeads(let since, let token):
            self.answerHeads(asker, since: since, token: token, &actions)
        case .acknowledge, .repetition, .heads:
            break
        }
        return actions
    }

    private mutating func mayAnswer(_ incarnation: UInt64, _ now: NIODeadline) -> Bool {
        let uptime = self.uptime(now)
        let whole = AnswerBudget(historyBytes: self.configuration.historyBytes, at: uptime)
        return self.budgets[incarnation, default: whole].admit(at: uptime, whole)
    }

    private struct Asker {
        var name: String
        var incarnation: UInt64
        var link: BusLink?
    }

    /// Where the question came from, if the asker is not known to hear others only.
    private func answering(_ incarnation: UInt64, _ link: BusLink) -> BusLink? {
        let links = self.routes.servers[incarnation].flatMap { $0.isEmpty ? nil : $0 } ?? self.routes.usable
        return links.contains(link) ? link : links.first ?? link
    }

    private mutating func tell(_ asker: Asker, _ body: DeliveryFrame.Body, _ actions: inout [DeliveryAction]) {
        guard let link = asker.link else { return }
        let inbox = self.configuration.inbox(asker.name, asker.incarnation)
        let frame = self.frame(body, to: asker.incarnation)
        self.budgets[asker.incarnation]?.bytes -= frame.readableBytes
        actions.append(.tell(frame, to: inbox, over: link))
    }

    // MARK: Repeating

    private mutating func answer(
        _ asker: Asker,
        _ channel: String,
        _ missing: [ClosedRange<UInt64>],
        _ token: UInt64,
        _ actions: inout [DeliveryAction]
    ) {
        var answer = self.emptyAnswer(channel, token)
        guard let index = self.indices[channel] else {
            // Forgotten: what there was has a number up to the floor.
            answer.gone = missing.map(\.upperBound).filter { $0 <= self.floor }.max() ?? 0
            return self.tell(asker, answer, [], &actions)
        }
        let stream = self.streams[index]
        let kept = stream.last - UInt64(stream.entries.count)
        var messages: [ByteBuffer] = []
        var bytes = 0
        for range in missing {
            // All of it at once: who misses very much cannot name everything in one request.
            if range.lowerBound <= kept { answer.gone = kept }
            var number = max(range.lowerBound, kept + 1)
            while number <= min(range.upperBound, stream.last), bytes < AnswerBudget.oneAnswer {
                guard let message = self.message(index, number) else { break }
                messages.append(message)
                bytes += message.readableBytes
                self.streams[index].repeatedThrough = max(self.streams[index].repeatedThrough, number)
                number += 1
            }
        }
        self.tell(asker, answer, messages, &actions)
    }

    private mutating func answer(
        _ asker: Asker,
        _ channel: String,
        since uptime: Int64,
        _ token: UInt64,
        _ actions: inout [DeliveryAction]
    ) {
        var answer = self.emptyAnswer(channel, token)
        guard let index = self.indices[channel] else {
            answer.base = self.floor + 1
            return self.tell(asker, answer, [], &actions)
        }
        let stream = self.streams[index]
        let kept = stream.last - UInt64(stream.entries.count)
        // Sent in the order of time.
        var low = 0
        var high = stream.entries.count
        while low < high {
            let middle = (low + high) / 2
            if stream.entries[middle].sentAt >= uptime { high = middle } else { low = middle + 1 }
        }
        var messages: [ByteBuffer] = []
        var bytes = 0
        var number = kept + UInt64(low) + 1
        answer.base = number
        while bytes < AnswerBudget.oneAnswer, let message = self.message(index, number) {
            messages.append(message)
            bytes += message.readableBytes
            self.streams[index].repeatedThrough = max(self.streams[index].repeatedThrough, number)
            number += 1
        }
        answer.gone = stream.evictedAt.map { $0 >= uptime } ?? false ? kept : 0
        self.tell(asker, answer, messages, &actions)
    }

    /// How far the channel is. One that is forgotten would go on above the floor.
    private func emptyAnswer(_ channel: String, _ token: UInt64) -> DeliveryFrame.Repetition {
        let stream = self.indices[channel].map { self.streams[$0] }
        return DeliveryFrame.Repetition(
            channel: channel,
            token: token,
            last: stream?.last ?? self.floor,
            floor: stream?.floor ?? self.floor,
            base: nil,
            gone: 0,
            isLast: false,
            messages: []
        )
    }

    private mutating func tell(
        _ asker: Asker,
        _ answer: DeliveryFrame.Repetition,
        _ messages: [ByteBuffer],
        _ actions: inout [DeliveryAction]
    ) {
        self.ledger.repeated += messages.count
        var rest = messages[...]
        repeat {
            var part = answer
            var bytes = 0
            while bytes < AnswerBudget.oneFrame, let message = rest.popFirst() {
                part.messages.append(message)
                bytes += message.readableBytes
            }
            part.isLast = rest.isEmpty
            self.tell(asker, .repetition(part), &actions)
        } while !rest.isEmpty
    }

    // MARK: Heads

    /// Last numbers that concern the server, of the streams on which something was sent since.
    private func heads(for incarnation: UInt64, since uptime: Int64) -> [DeliveryFrame.Head] {
        self.indices.values.sorted().compactMap { index in
            let stream = self.streams[index]
            guard let lastAt = stream.lastAt, lastAt >= uptime,
                stream.audience == nil || stream.audience == incarnation
            else { return nil }
            return DeliveryFrame.Head(channel: stream.channel, last: stream.last, uptime: lastAt)
        }
    }

    private mutating func answerHeads(_ asker: Asker, since: Int64, token: UInt64, _ actions: inout [DeliveryAction]) {
        var rest = self.heads(for: asker.incarnation, since: since)[...]
        repeat {
            let part = Array(rest.prefix(DeliveryFrame.maximumHeads))
            rest = rest.dropFirst(DeliveryFrame.maximumHeads)
            let heads = DeliveryFrame.Heads(
                token: token,
                isLast: rest.isEmpty,
                isLeaving: false,
                isIncomplete: self.forgottenUntil.map { $0 >= since } ?? false,
                heads: part
            )
            self.tell(asker, .heads(heads), &actions)
        } while !rest.isEmpty
    }

    /// Tells the last numbers of the streams that have fallen silent: twice, over different links if there are.
    mutating func tellTails(_ uptime: Int64, _ actions: inout [DeliveryAction]) {
        guard !self.active.isEmpty, !self.routes.usable.isEmpty, uptime >= self.tailsAt else { return }
        self.tailsAt = uptime + 50
        let idle = self.configuration.tailAfter.nanoseconds / 1_000_000
        var heads: [(audience: UInt64?, tails: Int, head: DeliveryFrame.Head)] = []
        self.active = self.active.filter { index in
            let stream = self.streams[index]
            // The second time only after some time more, in which what was in the way may have been noticed.
            guard let lastAt = stream.lastAt, uptime - lastAt >= idle << (2 * stream.tails) else { return true }
            let head = DeliveryFrame.Head(channel: stream.channel, last: stream.last, uptime: lastAt)
            heads.append((stream.audience, stream.tails, head))
            self.streams[index].tails += 1
            self.streams[index].isActive = self.streams[index].tails < 2
            return self.streams[index].isActive
        }
        for tails in 0..<2 {
            self.tell(heads.filter { $0.audience == nil && $0.tails == tails }.map(\.head), turn: tails, &actions)
        }
        for (audience, tails, head) in heads {
            guard let audience, let name = self.reach.servers[audience]?.name,
                let link = self.routes.link(to: audience, turn: tails)
            else { continue }
            let body = DeliveryFrame.Heads(token: 0, isLast: true, isLeaving: false, heads: [head])
            let inbox = self.configuration.inbox(name, audience)
            actions.append(.tell(self.frame(.heads(body), to: audience), to: inbox, over: link))
        }
    }

    private func tell(_ heads: [DeliveryFrame.Head], turn: Int, _ actions: inout [DeliveryAction]) {
        var rest = heads[...]
        let links = self.routes.everyone
        guard !links.isEmpty else { return }
        while !rest.isEmpty {
            let part = Array(rest.prefix(DeliveryFrame.maximumHeads))
            rest = rest.dropFirst(DeliveryFrame.maximumHeads)
            let body = DeliveryFrame.Heads(token: 0, isLast: true, isLeaving: false, heads: part)
            let frame = self.frame(.heads(body), to: 0)
            let over = self.routes.needsAll ? links : [links[(self.turns + turn) % links.count]]
            for link in over {
                actions.append(.tell(frame, to: self.configuration.clusterChannel, over: link))
            }
        }
    }

    // MARK: Leaving

    /// Sends nothing more, and tells all servers how far its streams are. The membership may leave when
    /// ``hasLeft`` is true: when all have everything, or after 2.5 s.
    package mutating func leave(now: NIODeadline) -> [DeliveryAction] {
        guard self.leaving == nil else { return [] }
        var actions = self.flush(now)
        let uptime = self.uptime(now)
        self.leaving = Leaving(deadline: uptime + 2_500, nextAt: uptime)
        self.sayGoodbye(uptime, &actions)
        return actions
    }

    /// What each server has to acknowledge.
    private mutating func goodbye(_ leaving: Leaving) -> Leaving {
        var leaving = leaving
        leaving.open = [:]
        leaving.heads = [:]
        leaving.isOutOfDate = false
        for (incarnation, server) in self.reach.servers.sorted(by: { $0.key < $1.key }) where !server.isObserver {
            var rest = self.heads(for: incarnation, since: .min)[...]
            // Where streams were forgotten, also who has nothing to fetch has to say that it has asked for everything.
            guard !rest.isEmpty || self.forgottenUntil != nil else { continue }
            repeat {
                // Who has not heard it cannot acknowledge it.
                leaving.token = self.random.next()
                leaving.open[incarnation, default: []].insert(leaving.token)
                let part = Array(rest.prefix(DeliveryFrame.maximumHeads))
                leaving.heads[incarnation, default: []].append((leaving.token, part))
                rest = rest.dropFirst(DeliveryFrame.maximumHeads)
            } while !rest.isEmpty
        }
        return leaving
    }

    package var hasLeft: Bool {
        guard let leaving = self.leaving, !leaving.isOutOfDate, self.waitingStreams.isEmpty, self.unsure.isEmpty
        else { return false }
        return leaving.open.allSatisfy { $0.value.isEmpty }
    }

    /// Whether it is time to go in any case. Who is left in ``missingAcknowledgements`` may miss messages.
    package func mustLeave(now: NIODeadline) -> Bool {
        self.leaving.map { self.uptime(now) >= $0.deadline } ?? false
    }

    package var missingAcknowledgements: [UInt64] {
        self.leaving?.open.filter { !$0.value.isEmpty }.keys.sorted() ?? []
    }

    mutating func sayGoodbye(_ uptime: Int64, _ actions: inout [DeliveryAction]) {
        guard var leaving = self.leaving, uptime >= leaving.nextAt else { return }
        if leaving.isOutOfDate { leaving = self.goodbye(leaving) }
        leaving.nextAt = uptime + 200
        leaving.turn += 1
        for (incarnation, parts) in leaving.heads.sorted(by: { $0.key < $1.key }) {
            guard let name = self.reach.servers[incarnation]?.name,
                let link = self.routes.link(to: incarnation, turn: leaving.turn)
            else { continue }
            for part in parts where leaving.open[incarnation]?.contains(part.token) == true {
                let heads = DeliveryFrame.Heads(token: part.token, isLast: true, isLeaving: true, heads: part.heads)
                let inbox = self.configuration.inbox(name, incarnation)
                actions.append(.tell(self.frame(.heads(heads), to: incarnation), to: inbox, over: link))
            }
        }
        self.leaving = leaving
    }
}
