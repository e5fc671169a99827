package import NIOCore

extension DeliveryReceiver {
    private static let maximumAsked: UInt64 = 2_048

    private mutating func tell(_ peer: Int, _ body: DeliveryFrame.Body, turn: Int) {
        let incarnation = self.peers[peer].incarnation
        guard let link = self.routes.link(to: incarnation, turn: turn) else { return }
        let frame = DeliveryFrame(name: self.name, incarnation: self.incarnation, target: incarnation, body: body)
        let inbox = self.configuration.inbox(self.peers[peer].name, incarnation)
        self.actions.append(.tell(frame.encoded, to: inbox, over: link))
    }

    mutating func ask(_ index: Int, _ time: Int64) {
        let stream = self.streams[index]
        let tries = stream.tries
        self.streams[index].tries += 1
        // 80 ms, doubling to 1 s.
        self.streams[index].askAt = time + min(1_000_000_000, 80_000_000 << Int64(min(tries, 4)))
        switch self.peers[stream.peer].state {
        case .live, .silent: break
        case .unknown:
            // Nobody to ask. Who has not proved in time that it lives may be long dead.
            if time - self.peers[stream.peer].changedAt > 5_000_000_000 { self.endStreams(stream.peer) }
            return
        case .ended: return
        }
        let key = stream.key
        if stream.isPending {
            // Who forges an uptime can make the sender's clock seem fast by the margin.
            guard let since = self.owedSince(index),
                let uptime = self.peers[stream.peer].clock.uptime(atTime: since - Self.margin)
            else { return }
            self.peers[stream.peer].ledger.requests += 1
            let token = self.token(index, time)
            let request = DeliveryFrame.Body.requestSince(channel: key.channel, uptime: uptime, token: token)
            return self.tell(stream.peer, request, turn: tries)
        }
        let missing = self.missing(index)
        guard !missing.isEmpty || stream.inquiry.isOpen else { return self.arm(index, time) }
        self.streams[index].asked = stream.known
        self.peers[stream.peer].ledger.requests += 1
        let token = self.token(index, time)
        self.tell(stream.peer, .request(channel: key.channel, missing: missing, token: token), turn: tries)
    }

    private func missing(_ index: Int) -> [ClosedRange<UInt64>] {
        let stream = self.streams[index]
        var missing: [ClosedRange<UInt64>] = []
        var first = stream.next
        var count: UInt64 = 0
        func add(upTo last: UInt64) {
            guard first <= last, missing.count < DeliveryFrame.maximumRanges, count < Self.maximumAsked else { return }
            let last = min(last, first + Self.maximumAsked - count - 1)
            missing.append(first...last)
            count += last - first + 1
        }
        if let positions = stream.inquiry.positions {
            first = positions.lowerBound
            add(upTo: positions.upperBound)
            first = stream.next
        }
        for number in stream.held.keys.sorted() {
            add(upTo: number - 1)
            first = number + 1
        }
        add(upTo: stream.known)
        return missing
    }

    mutating func askForHeads(_ index: Int, _ sync: Sync, _ time: Int64) {
        // 50 ms, doubling to 400 ms: who is new may not know this server yet.
        self.peers[index].sync?.askAt = time + 50_000_000 << Int64(min(sync.tries, 3))
        self.peers[index].sync?.tries += 1
        guard self.peers[index].state == .live, let uptime = self.peers[index].clock.uptime(atTime: sync.since)
        else { return }
        self.tell(index, .requestHeads(since: uptime, token: sync.token), turn: sync.tries)
    }

    // MARK: Answers

    /// Takes a frame that came for this server or for everyone: repeated messages and last numbers.
    package mutating func received(_ frame: DeliveryFrame, over link: BusLink, now: NIODeadline) {
        let time = self.time(now)
        guard frame.target == self.incarnation || frame.target == 0, frame.incarnation != self.incarnation,
            let peer = self.peerIndices[frame.incarnation]
        else { return }
        switch self.peers[peer].state {
        case .live, .silent: break
        case .unknown, .ended: return
        }
        switch frame.body {
        case .repetition(let repetition): self.repeated(repetition, peer, link, time)
        case .heads(let heads): self.received(heads, peer, time)
        case .request, .requestSince, .requestHeads, .acknowledge: break
        }
    }

    private mutating func repeated(
        _ repetition: DeliveryFrame.Repetition,
        _ peer: Int,
        _ link: BusLink,
        _ time: Int64
    ) {
        let key = Key(incarnation: self.peers[peer].incarnation, channel: repetition.channel)
        guard let index = self.streamIndices[key] else { return }
        let next = self.streams[index].next
        if self.isOwnWord(repetition, index, time) { self.settle(repetition, index) }
        for message in repetition.messages {
            guard let stamp = Stamp(endOf: message), stamp.incarnation == key.incarnation else { continue }
            self.take(Held(message: message, link: link, stamp: stamp, isRepeat: true), key.channel, time)
        }
        self.arm(index, time)
        // There may be more than one answer could hold, or one request could name.
        if repetition.isLast, self.streams[index].next > next || !repetition.messages.isEmpty,
            self.streams[index].askAt != nil
        {
            self.streams[index].askAt = time
            self.streams[index].tries = 0
        }
    }

    private mutating func received(_ heads: DeliveryFrame.Heads, _ peer: Int, _ time: Int64) {
        for head in heads.heads { self.received(head, peer, time) }
        if let sync = self.peers[peer].sync, heads.token == sync.token, !heads.isLeaving, heads.isLast {
            if heads.isIncomplete { self.reportUnknown(peer) }
            if let again = sync.againAt {
                self.peers[peer].sync = Sync(since: sync.since, token: self.random.next(), askAt: max(again, time))
            } else {
                self.peers[peer].sync = nil
            }
        }
        // Not before it is known that nothing else was missed.
        guard heads.isLeaving, self.peers[peer].sync?.againAt == nil else { return }
        if !self.peers[peer].streams.contains(where: self.isMissingSome) {
            self.tell(peer, .acknowledge(token: heads.token), turn: Int(heads.token % 1_024))
        }
    }

    /// There may be messages on channels that even the sender has forgotten.
    private mutating func reportUnknown(_ peer: Int) {
        self.peers[peer].ledger.unknownGaps += 1
        let gap = DeliveryGap(
            name: self.peers[peer].name,
            incarnation: self.peers[peer].incarnation,
            channel: nil,
            first: nil,
            last: 0,
            reason: .notKept
        )
        self.actions.append(.gap(gap))
    }

    private mutating func received(_ head: DeliveryFrame.Head, _ peer: Int, _ time: Int64) {
        guard self.subscriptions[head.channel] != nil else { return }
        let key = Key(incarnation: self.peers[peer].incarnation, channel: head.channel)
        if let index = self.streamIndices[key] {
            _ = self.doubtJump(index, to: head.last, isFirst: false)
            self.saw(head.last, index)
            self.arm(index, time)
            return
        }
        guard let since = self.subscriptions[head.channel]?.inForceSince,
            let sent = self.peers[peer].clock.time(ofUptime: head.uptime),
            sent + Self.margin > max(since, self.peers[peer].forgottenAt ?? since),
            let index = self.makeStream(key, peer, time)
        else { return }
        self.saw(head.last, index)
        self.arm(index, time)
    }
}
