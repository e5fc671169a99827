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
        /// What is held of it.
        var heldBytes = 0
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
        var tries = 0
        /// Asked once more, when publishers have surely noticed what was wrong.
        var againAt: Int64?
    }

    /// Lives that have not proved themselves, with their streams and what is held of them.
    struct Unproved: Sendable {
        var peers = 0
        var streams = 0
        var bytes = 0
    }

    /// What time it is here when another server's uptime says something.
    struct PeerClock: Sendable {
        private var current = Int64.max
        private var previous = Int64.max
        private var turnedAt = Int64.min
        /// No smaller difference counts: before a proof anything does, afterwards it may fall by the tolerance in half a minute.
        private var floor = Int64.min
        /// Above what two clocks drift apart in half a minute.
        private static let tolerance = DeliveryReceiver.margin

        /// Takes an uptime that came with an answer to a nonce, at most a second after it was told.
        mutating func prove(uptime: Int64, at time: Int64) {
            self.current = time - uptime * 1_000_000
            self.previous = .max
            self.turnedAt = time
            self.floor = self.current - Self.tolerance
        }

        /// The smallest difference of half a minute to a minute: that of the message that was the quickest. Too large a one
        /// makes this server ask for more than it misses; too small a one, as who forges an uptime would like it, for less.
        mutating func observe(uptime: Int64, at time: Int64) {
            if time - 30_000_000_000 > self.turnedAt {
                if self.floor != .min { self.floor = min(self.current, self.previous) - Self.tolerance }
                self.previous = self.current
                self.current = .max
                self.turnedAt = time
            }
            self.current = min(self.current, max(time - uptime * 1_000_000, self.floor))
        }

        /// Later than the truth, if anything, mostly a little, and by a second at most; nil while nothing is known.
        func time(ofUptime uptime: Int64) -> Int64? {
            let offset = min(self.current, self.previous)
            return offset == .max ? nil : offset + uptime * 1_000_000
        }

        func uptime(atTime time: Int64) -> Int64? {
            let offset = min(self.current, self.previous)
            return offset == .max ? nil : max((time - offset) / 1_000_000 - 1, 0)
        }
    }

    /// - Parameter isProved: whether the life has a place whatever others do.
    /// - Returns: nil when it is one too many.
    mutating func peer(_ incarnation: UInt64, _ time: Int64, isProved: Bool = false) -> Int? {
        if let index = self.peerIndices[incarnation] { return index }
        if !isProved {
            guard self.unproved.peers < self.configuration.maximumUnproved else {
                self.overflows.unproved += 1
                return nil
            }
            self.unproved.peers += 1
        } else if self.peerIndices.count - self.unproved.peers >= Self.maximumPeers, !self.forgetOldest(time) {
            self.overflows.peers += 1
            return nil
        }
        var peer = Peer(incarnation: incarnation, changedAt: time)
        if isProved { peer.state = .live }
        let index = self.freePeers.popLast() ?? self.peers.count
        if index == self.peers.count { self.peers.append(peer) } else { self.peers[index] = peer }
        self.peerIndices[incarnation] = index
        return index
    }

    // MARK: The membership

    /// The life has proved that it is one. `uptime` is what it says of itself now.
    package mutating func joined(_ incarnation: UInt64, name: String, uptime: TimeAmount, now: NIODeadline) {
        let time = self.time(now)
        let isNew = self.peerIndices[incarnation].map { self.peers[$0].state == .unknown } ?? true
        guard let index = self.peer(incarnation, time, isProved: true) else { return }
        if self.peers[index].state == .unknown {
            self.unproved.peers -= 1
            self.unproved.streams -= self.peers[index].streams.count
            self.unproved.bytes -= self.peers[index].heldBytes
        }
        self.peers[index].name = name
        self.peers[index].clock.prove(uptime: uptime.nanoseconds / 1_000_000, at: time)
        let since = isNew ? self.time(self.start) : self.peers[index].silentSince ?? self.peers[index].changedAt
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
        self.peers[index].sync = Sync(
            since: min(since, old?.since ?? since),
            // An answer to an older question does not count.
            token: self.random.next(),
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
            self.forgetPeer(index)
        }
    }

    private mutating func forgetPeer(_ index: Int) {
        self.endStreams(index)
        for stream in self.peers[index].streams { self.forgetCompletely(stream) }
        if self.peers[index].state == .unknown { self.unproved.peers -= 1 }
        self.peerIndices[self.peers[index].incarnation] = nil
        // Of a state that counts nowhere.
        self.peers[index] = Peer(incarnation: 0, state: .ended, changedAt: 0)
        self.freePeers.append(index)
    }

    /// Of those that do not live any more.
    private mutating func forgetOldest(_ time: Int64) -> Bool {
        let gone = self.peerIndices.values.filter { [.silent, .ended].contains(self.peers[$0].state) }
        guard let oldest = gone.min(by: { self.peers[$0].changedAt < self.peers[$1].changedAt }) else { return false }
        self.forgetPeer(oldest)
        self.forgetOnce()
        return true
    }
}
