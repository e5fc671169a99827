package import NIOCore

extension DeliveryReceiver {
    // MARK: Subscriptions

    /// The channel is wanted from now on. The own inbox need not be told.
    package mutating func subscribe(_ channel: String, now: NIODeadline) {
        guard self.subscriptions[channel] == nil else { return }
        self.subscriptions[channel] = Subscription(requestedAt: self.time(now))
    }

    /// The subscription is in force on all links that are in use: from now on messages are owed.
    package mutating func inForce(_ channel: String, now: NIODeadline) {
        guard var subscription = self.subscriptions[channel], subscription.inForceSince == nil else { return }
        subscription.inForceSince = self.time(now)
        self.subscriptions[channel] = subscription
    }

    package mutating func unsubscribe(_ channel: String) {
        guard let subscription = self.subscriptions.removeValue(forKey: channel) else { return }
        for index in subscription.streams {
            let stream = self.streams[index]
            let next = stream.isPending ? stream.floor : stream.next
            if next > 1, self.former.count < self.configuration.maximumStreams {
                self.former[stream.key] = (next, stream.lastAt)
            }
            self.forget(index)
        }
    }

    // MARK: Streams

    mutating func makeStream(_ key: Key, _ peer: Int, _ time: Int64) -> Int? {
        let isUnproved = self.peers[peer].state == .unknown
        guard !isUnproved || self.unproved.streams < self.configuration.maximumUnproved else {
            self.overflows.unproved += 1
            return nil
        }
        guard self.streamIndices.count < self.configuration.maximumStreams else {
            self.overflows.streams += 1
            return nil
        }
        if isUnproved { self.unproved.streams += 1 }
        var stream = Stream(key: key, peer: peer, isPending: true, lastAt: time)
        stream.floor = self.former.removeValue(forKey: key)?.next ?? 0
        let index = self.freeStreams.popLast() ?? self.streams.count
        if index == self.streams.count { self.streams.append(stream) } else { self.streams[index] = stream }
        self.streamIndices[key] = index
        self.subscriptions[key.channel]?.streams.append(index)
        self.peers[peer].streams.insert(index)
        return index
    }

    /// The subscription's own list is the caller's business.
    mutating func forget(_ index: Int) {
        for number in Array(self.streams[index].held.keys) { _ = self.release(number, index) }
        self.settle(index)
        if self.isUnproved(index) { self.unproved.streams -= 1 }
        self.incomplete.remove(index)
        self.peers[self.streams[index].peer].streams.remove(index)
        self.streamIndices[self.streams[index].key] = nil
        self.streams[index] = self.streams[0]
        self.freeStreams.append(index)
        if self.latest == index { self.latest = 0 }
    }

    mutating func forgetCompletely(_ index: Int) {
        self.subscriptions[self.streams[index].key.channel]?.streams.removeAll { $0 == index }
        self.forget(index)
    }

    /// Since when messages of the peer on the channel are owed, in this server's time; while its subscription is not in
    /// force: since when they are wanted.
    func owedSince(_ index: Int) -> Int64? {
        let stream = self.streams[index]
        guard let subscription = self.subscriptions[stream.key.channel] else { return nil }
        let since = subscription.inForceSince ?? subscription.requestedAt
        return max(since, self.peers[stream.peer].forgottenAt ?? since)
    }

    /// Finds out with which number a stream begins: where it was left, with the first, or with what the sender says.
    mutating func begin(_ index: Int, _ time: Int64) {
        let stream = self.streams[index]
        guard stream.isPending, self.peers[stream.peer].state == .live, let lowest = stream.held.keys.min()
        else { return self.arm(index, time) }
        if lowest == 1 || lowest == stream.floor { self.begin(index, at: lowest) }
        self.arm(index, time)
        if self.streams[index].isPending { self.ask(index, time) }
    }

    mutating func begin(_ index: Int, at number: UInt64) {
        let number = max(number, self.streams[index].floor)
        self.streams[index].isPending = false
        self.streams[index].next = number
        self.streams[index].notOwed = number - 1
        self.streams[index].known = max(self.streams[index].known, number - 1)
        for number in self.streams[index].held.keys.sorted() where number < self.streams[index].next {
            guard let held = self.release(number, index) else { continue }
            // Not owed, but heard: who publishes when a subscription has just come into force is not let down.
            if number >= self.streams[index].floor {
                if self.deliver(held, index) { self.peers[self.streams[index].peer].ledger.owed += 1 }
            } else {
                self.peers[self.streams[index].peer].ledger.late += 1
            }
        }
        self.drain(index)
    }

    /// Ends the streams of a life: what is held is given on, what is missing is reported. Their positions are kept.
    mutating func endStreams(_ peer: Int) {
        for index in self.peers[peer].streams.sorted() {
            if self.streams[index].isPending {
                guard self.peers[peer].state != .unknown else {
                    self.forgetCompletely(index)
                    continue
                }
                self.endPending(index)
            }
            self.endDoubts(index)
            self.giveUp(index, upTo: self.streams[index].known, .ended)
            self.streams[index].askAt = nil
            self.streams[index].needsCare = true
            self.incomplete.remove(index)
        }
    }

    private mutating func endPending(_ index: Int) {
        let since = self.owedSince(index) ?? 0
        let clock = self.peers[self.streams[index].peer].clock
        let owed = self.streams[index].held.filter { (clock.time(ofUptime: $0.value.stamp.uptime) ?? since) >= since }
        let first = owed.keys.min() ?? self.streams[index].known + 1
        if first > 1 { self.gap(index, first: nil, last: first - 1, .ended) }
        self.begin(index, at: first)
    }

    /// Forgets streams that have been complete and idle for long, when there are many.
    mutating func sweep(_ time: Int64) {
        guard time - self.sweptAt > 10_000_000_000 else { return }
        self.sweptAt = time
        self.forgetPeers(time)
        let oldest = time - 4 * self.configuration.historyTime.nanoseconds
        self.former = self.former.filter { $0.value.at >= oldest }
        guard self.streamIndices.count > self.configuration.maximumStreams / 2 else { return }
        let history = self.configuration.historyTime.nanoseconds
        for index in Array(self.streamIndices.values)
        where time - self.streams[index].lastAt > 2 * history && !self.isMissingSome(index) {
            let peer = self.streams[index].peer
            self.peers[peer].forgottenAt = max(self.peers[peer].forgottenAt ?? .min, time - history)
            self.forgetCompletely(index)
        }
    }
}
