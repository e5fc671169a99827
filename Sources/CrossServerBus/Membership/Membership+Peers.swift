import DequeModule
import NIOCore

extension Membership {
    /// One life of another server.
    struct Peer: Sendable {
        enum State: Sendable, Equatable {
            /// Heard of, and asked to prove that it lives.
            case candidate
            /// Lives, but the name belongs to another life that may live too.
            case waiting
            case joined
            /// Dead, or has left.
            case gone
        }

        var state = State.candidate
        /// What it said last.
        var said: Announcement
        var lastHeard: NIODeadline
        /// When what ``said`` says of the uptime arrived.
        var saidAt: NIODeadline
        var ask: Ask?
        /// Which of its links each of this server's links is.
        var links: [BusLink: (via: Int, number: UInt64)] = [:]
        /// What its farewell is known by, since it has proved that it lives.
        var seal: String?
        /// The longest uptime that it could have had at a moment, by its proof.
        var proof: (uptime: Int64, at: NIODeadline)?
        /// Since when a newer life of the same name wants to take its place.
        var challengedAt: NIODeadline?
        /// When it spoke last, also without news.
        var spokeAt: NIODeadline
        /// The links that deliver to nobody what is for its inbox, as they have said since it spoke last.
        var unheard: Set<BusLink> = []
        var isSuspect = false
        /// Since when it is heard, and hears no link on which this server can publish.
        var unreachableSince: NIODeadline?
    }

    /// Nonces that were sent to an inbox.
    struct Ask: Sendable {
        /// The oldest first: those that are still to be answered.
        private var nonces: [(nonce: String, sentAt: NIODeadline)] = []
        var firstAt: NIODeadline
        var sentAt: NIODeadline
        var turn = 0

        init(now: NIODeadline) {
            self.firstAt = now
            self.sentAt = now
        }

        /// The newest.
        var nonce: String { self.nonces.last?.nonce ?? "" }

        /// An answer counts within a while of its question: a new question needs a new nonce. Those before it count on, or
        /// a cluster that is slow for once would never get an answer in time.
        mutating func add(_ nonce: String, now: NIODeadline, answerWithin: TimeAmount) {
            self.nonces.removeAll { now - $0.sentAt > answerWithin }
            // No more are asked in the time; but what one keeps has a bound of its own.
            if self.nonces.count >= Self.maximumNonces { self.nonces.removeFirst() }
            self.nonces.append((nonce, now))
            self.sentAt = now
            self.turn += 1
        }

        /// When the nonce was sent; nil when it is none of these, or was sent too long ago.
        func asked(_ nonce: String?, now: NIODeadline, answerWithin: TimeAmount) -> NIODeadline? {
            self.nonces.first { $0.nonce == nonce && now - $0.sentAt <= answerWithin }?.sentAt
        }

        private static var maximumNonces: Int { 8 }

        /// Twice as long each time: of many servers that start at once each has to answer all.
        var nextAt: NIODeadline {
            self.sentAt + min(Membership.askAfter * (1 << min(max(self.turn - 1, 0), 6)), Membership.askAtLeastEvery)
        }
    }

    /// Another server with this server's name.
    struct Rival: Sendable {
        var said: Announcement
        var ask: Ask
        /// The incarnation that keeps the name.
        var winner: String?
    }

    struct Mention: Sendable {
        var first: NIODeadline
        var last: NIODeadline
    }

    static var askAfter: TimeAmount { .milliseconds(250) }
    static var askAtLeastEvery: TimeAmount { .seconds(2) }
    static var maximumRivals: Int { 16 }
    /// What others can make this server send; of questions, see ``QuestionPace``.
    static var answersPerTick: Int { 1_024 }

    var live: [Peer] { self.current.values.compactMap { self.peers[$0] }.filter { $0.state == .joined } }

    func peer(named name: String) -> Peer? {
        self.current[name].flatMap { self.peers[$0] }.flatMap { $0.state == .joined ? $0 : nil }
    }

    func member(_ peer: Peer, _ now: NIODeadline) -> Member {
        Member(
            name: peer.said.name,
            incarnation: peer.said.incarnation,
            role: peer.said.role,
            address: peer.said.address,
            uptime: .milliseconds(peer.said.uptime) + (now - peer.saidAt),
            connections: peer.said.connections,
            rooms: peer.said.rooms,
            isDraining: peer.said.isDraining,
            takesClients: peer.said.takesClients,
            links: peer.said.links.map(\.name),
            isReachable: self.publishable.contains { self.hears(peer, $0.link) == true },
            isSuspect: peer.isSuspect
        )
    }

    mutating func checkReachability(_ now: NIODeadline) {
        let links = self.publishable
        for incarnation in self.current.values {
            guard let peer = self.peers[incarnation], peer.state == .joined else { continue }
            // Without a link it is this server that is cut off, and nobody else is to be given up for that.
            let isReachable = links.isEmpty || links.contains { self.hears(peer, $0.link) == true }
            if isReachable != (peer.unreachableSince == nil) {
                self.peers[incarnation]?.unreachableSince = isReachable ? nil : now
            }
        }
    }

    // MARK: Asking

    mutating func makeNonce() -> String { String(self.random.next() as UInt64, radix: 36) }

    /// Asks over the link on which the peer was heard, later over all in turn.
    mutating func ask(
        _ incarnation: String,
        over link: BusLink?,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard var peer = self.peers[incarnation] else { return }
        let links = self.publishable
        guard !links.isEmpty, self.pace.take() else { return }
        var ask = peer.ask ?? Ask(now: now)
        let heard = link.flatMap { link in links.first { $0.link == link } }
        let over = heard ?? links[ask.turn % links.count]
        ask.add(self.makeNonce(), now: now, answerWithin: self.configuration.answerWithin)
        peer.ask = ask
        self.peers[incarnation] = peer
        self.send(.ask, nonce: ask.nonce, to: peer.said, over: over.link, now, &actions)
    }

    func send(
        _ kind: Announcement.Kind,
        nonce: String,
        winner: String? = nil,
        to other: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        var announcement = self.announcement(kind, over: link, now)
        announcement.nonce = nonce
        if kind == .alive { announcement.seal = self.farewell.seal }
        announcement.winner = winner
        let inbox = MembershipAction.Destination.inbox(name: other.name, incarnation: other.incarnation)
        actions.append(.send(announcement, to: inbox, over: link))
    }

    /// Asks who could not be asked yet, and anew who has not answered, as far as the pace allows.
    mutating func askAgain(_ now: NIODeadline, _ actions: inout [MembershipAction]) {
        self.answers = 0
        var unasked: [String] = []
        var unanswered: [String] = []
        for (incarnation, peer) in self.peers {
            if peer.ask != nil {
                unanswered.append(incarnation)
            } else if peer.state == .candidate {
                unasked.append(incarnation)
            }
        }
        let isNeeded = !unasked.isEmpty || !unanswered.isEmpty
        self.pace.next(isNeeded: isNeeded, lag: self.lag(now))
        // Nobody can choose a name that is asked before others.
        unasked.sort()
        unasked.shuffle(using: &self.random)
        for incarnation in unasked where !self.pace.isUsedUp {
            let link = self.peers[incarnation]?.links.keys.min { $0.number < $1.number }
            self.ask(incarnation, over: link, now, &actions)
        }
        for incarnation in unanswered.sorted() {
            guard let peer = self.peers[incarnation], let ask = peer.ask else { continue }
            // Something said in its name was doubted; its silence will tell.
            if peer.state == .joined, peer.challengedAt == nil, now - ask.firstAt > self.configuration.answerWithin {
                self.peers[incarnation]?.ask = nil
                continue
            }
            if now >= ask.nextAt { self.ask(incarnation, over: nil, now, &actions) }
        }
        if isNeeded { self.probeForLag(now, &actions) }
        for (incarnation, rival) in self.rivals where now >= rival.ask.nextAt {
            self.askRival(incarnation, rival, over: nil, now, &actions)
        }
    }

    // MARK: Joining and leaving

    /// The peer has proved that it lives.
    mutating func proved(_ incarnation: String, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        guard var peer = self.peers[incarnation] else { return }
        peer.ask = nil
        peer.challengedAt = nil
        peer.lastHeard = now
        guard peer.state == .candidate || peer.state == .gone else {
            self.peers[incarnation] = peer
            return
        }
        guard self.makeRoomForMember() else {
            self.overflows.members += 1
            return
        }
        let holder = self.current[peer.said.name]
        if let holder, holder != incarnation, self.peers[holder]?.state == .joined {
            // The holder may live, too: it gets a second to say so.
            peer.state = .waiting
            self.peers[incarnation] = peer
            if self.peers[holder]?.challengedAt == nil {
                self.peers[holder]?.challengedAt = now
                self.peers[holder]?.ask = nil
                self.ask(holder, over: nil, now, &actions)
            }
            return
        }
        self.peers[incarnation] = peer
        self.join(incarnation, now, &actions)
    }

    /// - Returns: false when all that have proved themselves live.
    private mutating func makeRoomForMember() -> Bool {
        let limit = self.configuration.maximumMembers
        // Mostly they are far from being so many together.
        guard self.peers.count >= limit, self.peers.values.count(where: { $0.state != .candidate }) >= limit else {
            return true
        }
        let gone = self.peers.filter { $0.value.state == .gone }
        guard let oldest = gone.min(by: { $0.value.lastHeard < $1.value.lastHeard }) else { return false }
        self.peers[oldest.key] = nil
        return true
    }

    /// Takes down a life that was not known, or whose name was wrong. When there are too many, the one that has waited the
    /// longest gives way.
    mutating func addCandidate(_ peer: Peer) {
        let incarnation = peer.said.incarnation
        self.peers[incarnation] = peer
        self.candidates.append(incarnation)
        while self.candidates.count > self.configuration.maximumCandidates, let first = self.candidates.popFirst() {
            guard first != incarnation, self.peers[first]?.state == .candidate else { continue }
            self.peers[first] = nil
            self.overflows.candidates += 1
        }
    }

    private mutating func join(_ incarnation: String, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        guard var peer = self.peers[incarnation] else { return }
        peer.state = .joined
        peer.lastHeard = now
        self.peers[incarnation] = peer
        self.current[peer.said.name] = incarnation
        self.isReachNews = true
        self.mentions[.init(name: peer.said.name, incarnation: incarnation)] = nil
        actions.append(.joined(self.member(peer, now)))
    }

    mutating func remove(
        _ incarnation: String,
        _ reason: MembershipAction.LeaveReason,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard var peer = self.peers[incarnation] else { return }
        let wasJoined = peer.state == .joined
        let member = self.member(peer, now)
        peer.state = .gone
        peer.ask = nil
        peer.challengedAt = nil
        peer.links = [:]
        peer.unheard = []
        peer.isSuspect = false
        self.peers[incarnation] = peer
        guard wasJoined, self.current[peer.said.name] == incarnation else { return }
        self.current[peer.said.name] = nil
        self.isReachNews = true
        actions.append(.left(member, reason))
        if let next = self.peers.first(where: { $0.value.state == .waiting && $0.value.said.name == peer.said.name }) {
            self.join(next.key, now, &actions)
        }
    }

    private func patience(_ peer: Peer) -> TimeAmount {
        max(self.configuration.deadAfter, .nanoseconds(self.interval(peer).nanoseconds * 7 / 2))
    }

    /// Others speak about as often as this server, however much longer one says that it waits.
    private func interval(_ peer: Peer) -> TimeAmount {
        min(.milliseconds(peer.said.interval), self.heartbeatInterval * 2)
    }

    mutating func expirePeers(_ now: NIODeadline, _ actions: inout [MembershipAction]) {
        var over: [(incarnation: String, reason: MembershipAction.LeaveReason?)] = []
        for (incarnation, peer) in self.peers {
            let silence = now - peer.lastHeard
            switch peer.state {
            case .candidate:
                if silence > self.configuration.deadAfter { over.append((incarnation, nil)) }
            case .waiting:
                if silence > self.patience(peer) { over.append((incarnation, nil)) }
            case .joined:
                // Longer than between two heartbeats.
                let wait = self.configuration.answerWithin + .nanoseconds(self.interval(peer).nanoseconds / 5)
                if let since = peer.challengedAt, now - since > wait {
                    over.append((incarnation, .replaced))
                } else if silence > self.patience(peer) {
                    over.append((incarnation, .died))
                }
            case .gone:
                // For so long its late messages are told from those of a new life.
                if silence > .seconds(60) { over.append((incarnation, nil)) }
            }
        }
        for (incarnation, reason) in over.sorted(by: { $0.incarnation < $1.incarnation }) {
            if let reason {
                self.remove(incarnation, reason, now, &actions)
            } else if self.peers[incarnation]?.state != .joined {
                // Unless it has taken the place of one that was removed just now.
                self.peers[incarnation] = nil
            }
        }
    }
}
