package import NIOCore

extension DeliveryReceiver {
    /// One life of another server.
    struct Peer: Sendable {
        enum State: Sendable {
            /// Has not proved that it lives.
            case unknown
            case live
            /// Silent for long: it may come back.
            case silent
            /// Stopped, replaced or silent for too long: what comes now is late. The positions are kept: should this have
            /// been wrong, all goes on where it was.
            case ended
        }

        var incarnation: UInt64
        var name = ""
        var state = State.unknown
        var changedAt: Int64
        /// When it fell silent, if its silence has ended it: since then messages may have been missed.
        var silentSince: Int64?
        var clock = PeerClock()
        var streams: Set<Int> = []
        var sync: Sync?
        var syncTurn = 0
        /// Streams were forgotten: what was sent before is not owed (again).
        var forgottenAt: Int64?
        var ledger = ReceiverLedger()
    }

    /// The last numbers are asked for.
    struct Sync: Sendable {
        /// In this server's time.
        var since: Int64
        var token: UInt64
        var askAt: Int64
        /// Asked once more, when publishers have surely noticed what was wrong.
        var againAt: Int64?
    }

    /// What time it is here when another server's uptime says something.
    struct PeerClock: Sendable {
        private var current = Int64.max
        private var previous = Int64.max
        private var turnedAt = Int64.min

        /// The smallest difference of half a minute to a minute: that of the message that was the quickest.
        mutating func observe(uptime: Int64, at time: Int64) {
            if time - 30_000_000_000 > self.turnedAt {
                self.previous = self.current
                self.current = .max
                self.turnedAt = time
            }
            self.current = min(self.current, time - uptime * 1_000_000)
        }

        /// A little later than the truth, if anything; nil while nothing is known.
        func time(ofUptime uptime: Int64) -> Int64? {
            let offset = min(self.current, self.previous)
            return offset == .max ? nil : offset + uptime * 1_000_000
        }

        func uptime(atTime time: Int64) -> Int64? {
            let offset = min(self.current, self.previous)
            return offset == .max ? nil : max((time - offset) / 1_000_000 - 1, 0)
        }
    }

    mutating func peer(_ incarnation: UInt64, _ time: Int64) -> Int? {
        if let index = self.peerIndices[incarnation] { return index }
        guard self.peerIndices.count < Self.maximumPeers else { return nil }
        let peer = Peer(incarnation: incarnation, changedAt: time)
        let index = self.freePeers.popLast() ?? self.peers.count
        if index == self.peers.count { self.peers.append(peer) } else { self.peers[index] = peer }
        self.peerIndices[incarnation] = index
        return index
    }

    // MARK: The membership

    /// The life has proved that it is one. `uptime` is what it says of itself now.
    package mutating func joined(_ incarnation: UInt64, name: String, uptime: TimeAmount, now: NIODeadline) {
        let time = self.time(now)
        guard let index = self.peer(incarnation, time) else { return }
        self.peers[index].name = name
        self.peers[index].clock.observe(uptime: uptime.nanoseconds / 1_000_000, at: time)
        let changedAt = self.peers[index].silentSince ?? self.peers[index].changedAt
        let since = self.peers[index].state == .unknown ? self.time(self.start) : changedAt
        self.peers[index].silentSince = nil
        self.peers[index].state = .live
        self.peers[index].changedAt = time
        for stream in self.peers[index].streams.sorted() { self.begin(stream, time) }
        self.sync(index, since: since - 5_000_000_000, againAt: time + 3_500_000_000, time)
    }

    /// A heartbeat of the life: tells the clocks.
    package mutating func heard(_ incarnation: UInt64, uptime: Int64, now: NIODeadline) {
        guard let index = self.peerIndices[incarnation] else { return }
        self.peers[index].clock.observe(uptime: uptime, at: self.time(now))
    }

    package mutating func left(_ incarnation: UInt64, _ reason: MembershipAction.LeaveReason, now: NIODeadline) {
        let time = self.time(now)
        guard let index = self.peerIndices[incarnation] else { return }
        switch reason {
        case .died:
            // Silence ends no stream.
            self.peers[index].state = .silent
        case .stopped, .replaced:
            self.endStreams(index)
            self.peers[index].state = .ended
        }
        self.peers[index].changedAt = time
    }

    package mutating func update(_ reach: Reach) {
        let epoch = self.routes.epoch
        self.routes.update(reach, suspended: [:])
        guard epoch != self.routes.epoch, !self.routes.usable.isEmpty else { return }
        // What was asked on the way that it was may not have come through.
        for index in self.incomplete where self.streams[index].askAt != nil {
            self.streams[index].askAt = 0
            self.streams[index].tries = 0
        }
        // The second time has its own moment.
        for index in self.peers.indices where self.peers[index].sync?.againAt != nil {
            self.peers[index].sync?.askAt = 0
        }
    }

    /// This server may have missed messages since then: a link was lost, has come back, or was found to be deaf; a
    /// heartbeat of the life, or of anyone, was missed.
    package mutating func mayHaveMissed(since: NIODeadline, of incarnation: UInt64? = nil, now: NIODeadline) {
        let time = self.time(now)
        for index in self.peers.indices where self.peers[index].state == .live {
            if let incarnation, self.peers[index].incarnation != incarnation { continue }
            self.sync(index, since: self.time(since) - 1_000_000_000, againAt: time + 3_500_000_000, time)
        }
    }

    mutating func sync(_ index: Int, since: Int64, againAt: Int64?, _ time: Int64) {
        let old = self.peers[index].sync
        self.isBusy = true
        // An answer to an older question does not count.
        self.peers[index].syncTurn += 1
        self.peers[index].sync = Sync(
            since: min(since, old?.since ?? since),
            token: UInt64(self.peers[index].syncTurn),
            askAt: time,
            againAt: againAt ?? old?.againAt
        )
    }

    // MARK: Time

    package mutating func tick(now: NIODeadline) {
        let time = self.time(now)
        for index in self.incomplete.sorted() {
            if let askAt = self.streams[index].askAt, askAt <= time { self.ask(index, time) }
        }
        for index in self.peers.indices {
            if let sync = self.peers[index].sync, sync.askAt <= time { self.askForHeads(index, sync, time) }
        }
        self.sweep(time)
        self.isBusy = !self.incomplete.isEmpty || self.peers.contains { $0.sync != nil && $0.state == .live }
    }

    mutating func forgetPeers(_ time: Int64) {
        let history = self.configuration.historyTime.nanoseconds
        let count = self.peerIndices.count
        defer { if self.peerIndices.count < count { self.forgetOnce() } }
        for index in self.peerIndices.values.sorted() {
            let age = time - self.peers[index].changedAt
            switch self.peers[index].state {
            case .live: continue
            case .unknown:
                guard age > 5_000_000_000 else { continue }
            case .silent:
                guard age > 2 * history else { continue }
                self.endStreams(index)
                self.peers[index].state = .ended
                self.peers[index].silentSince = self.peers[index].changedAt
                self.peers[index].changedAt = time
                continue
            case .ended:
                // What was received of it is not kept by it any more, and cannot come twice.
                guard age > 4 * history else { continue }
            }
            self.endStreams(index)
            for stream in self.peers[index].streams { self.forgetCompletely(stream) }
            self.peerIndices[self.peers[index].incarnation] = nil
            self.peers[index] = Peer(incarnation: 0, changedAt: 0)
            self.freePeers.append(index)
        }
    }

    private mutating func forgetOnce() {
        for (channel, subscription) in self.subscriptions where !subscription.once.isEmpty {
            self.subscriptions[channel]?.once = subscription.once.filter { self.peerIndices[$0.key] != nil }
        }
    }
}
