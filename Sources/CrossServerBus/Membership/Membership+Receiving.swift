package import NIOCore

extension Membership {
    /// Takes an announcement from the cluster channel or from this server's inbox.
    package mutating func received(
        _ announcement: Announcement,
        over link: BusLink,
        now: NIODeadline
    ) -> [MembershipAction] {
        var actions: [MembershipAction] = []
        guard !self.hasEnded else { return actions }
        guard announcement.incarnation != self.incarnation else {
            if announcement.kind == .probe { self.probeReturned(announcement, over: link, now, &actions) }
            return actions
        }
        guard announcement.kind != .probe else { return actions }
        if announcement.name == self.name {
            self.receivedRival(announcement, over: link, now, &actions)
        } else {
            self.receivedPeer(announcement, over: link, now, &actions)
        }
        return actions
    }

    private mutating func receivedPeer(
        _ announcement: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        let incarnation = announcement.incarnation
        if announcement.kind == .left { return self.receivedLeft(announcement, now, &actions) }
        let within = self.configuration.answerWithin
        if announcement.kind == .alive, let peer = self.peers[incarnation], peer.said.name == announcement.name,
            let askedAt = peer.ask?.asked(announcement.nonce, now: now, answerWithin: within)
        {
            self.takeProof(announcement, askedAt: askedAt, over: link, now, &actions)
            return self.proved(incarnation, now, &actions)
        }
        guard let wasKnown = self.takeIn(announcement, over: link, now, &actions) else { return }
        if announcement.kind == .heartbeat, self.isLive(incarnation) {
            for server in announcement.heard { self.mentioned(server, now) }
        }
        if announcement.kind == .ask { self.answer(announcement, over: link, now, &actions) }
        guard let peer = self.peers[incarnation] else { return }
        if peer.state == .candidate, peer.ask == nil || !wasKnown { self.ask(incarnation, over: link, now, &actions) }
    }

    private mutating func answer(
        _ question: Announcement,
        winner: String? = nil,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard let nonce = question.nonce, let over = self.answering(link) else { return }
        guard self.answers < Self.answersPerTick else {
            self.overflows.questions += 1
            return
        }
        self.answers += 1
        self.send(.alive, nonce: nonce, winner: winner, to: question, over: over, now, &actions)
    }

    /// What comes with a nonce holds, whatever was said in this name before.
    private mutating func takeProof(
        _ announcement: Announcement,
        askedAt: NIODeadline,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard var peer = self.peers[announcement.incarnation] else { return }
        let hasChanged = peer.state == .joined && !peer.said.saysTheSame(as: announcement)
        peer.said = announcement
        peer.saidAt = now
        peer.seal = announcement.seal ?? peer.seal
        peer.proof = (announcement.uptime, askedAt)
        peer.links = peer.links.mapValues { ($0.via, min($0.number, announcement.number)) }
        peer.links[link] = (announcement.via, announcement.number)
        self.peers[announcement.incarnation] = peer
        self.isReachNews = true
        self.spoke(announcement.incarnation, now, &actions)
        if hasChanged { actions.append(.changed(self.member(peer, now))) }
    }

    /// - Returns: whether the peer was known; nil when what it says is out of date, or cannot be its own.
    private mutating func takeIn(
        _ announcement: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) -> Bool? {
        let known = self.peers[announcement.incarnation]
        guard var peer = known, peer.said.name == announcement.name || peer.state != .candidate else {
            var peer = Peer(said: announcement, lastHeard: now, saidAt: now, spokeAt: now)
            peer.links[link] = (announcement.via, announcement.number)
            self.addCandidate(peer)
            return false
        }
        guard !self.contradicts(announcement, peer, now) else {
            // Who has said which, the nonce tells.
            if peer.state == .gone {
                peer.state = .candidate
                self.addCandidate(peer)
            }
            if peer.state != .waiting, peer.ask == nil { self.ask(announcement.incarnation, over: link, now, &actions) }
            return nil
        }
        guard peer.said.name == announcement.name, announcement.number >= peer.said.number else { return nil }
        let heard = self.heardLinks(of: peer)
        // The same heartbeat over another link tells which link that is.
        if announcement.kind == .heartbeat, peer.state == .joined, let known = peer.links[link],
            announcement.number > known.number + 1
        {
            let since = peer.lastHeard - .milliseconds(announcement.interval)
            actions.append(.heartbeatMissed(incarnation: announcement.incarnation, since: since))
        }
        peer.links[link] = (announcement.via, announcement.number)
        let isNews = announcement.number > peer.said.number
        // A question or an answer of a heartbeat's number may know more than the heartbeat.
        let hasChanged = isNews && !peer.said.saysTheSame(as: announcement)
        if isNews {
            peer.said = announcement
            peer.saidAt = now
            peer.lastHeard = now
            // It speaks, even if it does not hear the question.
            if peer.challengedAt != nil { peer.challengedAt = now }
        }
        if peer.state == .joined, heard != self.heardLinks(of: peer) { self.isReachNews = true }
        if peer.state == .gone, isNews {
            peer.state = .candidate
            self.addCandidate(peer)
        } else {
            self.peers[announcement.incarnation] = peer
        }
        self.spoke(announcement.incarnation, now, &actions)
        if hasChanged, peer.state == .joined { actions.append(.changed(self.member(peer, now))) }
        return true
    }

    /// Whether this and what was said before in the same name cannot both be true: one of them is forged.
    private func contradicts(_ announcement: Announcement, _ peer: Peer, _ now: NIODeadline) -> Bool {
        guard let proof = peer.proof, peer.said.name == announcement.name else { return false }
        if announcement.role != peer.said.role { return true }
        let said = peer.said
        // Its clock may go a little faster than this one's.
        let elapsed = (now - proof.at).nanoseconds / 1_000_000
        if announcement.uptime > proof.uptime + elapsed + elapsed / 1_000 + 100 { return true }
        if announcement.number < said.number { return announcement.uptime > said.uptime }
        if announcement.number > said.number { return announcement.uptime < said.uptime }
        // The same heartbeat over another link.
        return announcement.kind == .heartbeat && said.kind == .heartbeat && announcement.uptime != said.uptime
    }

    /// The end of a life is believed when it comes with the secret whose hash came with the proof of the life.
    private mutating func receivedLeft(
        _ announcement: Announcement,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard let peer = self.peers[announcement.incarnation], peer.said.name == announcement.name, peer.state != .gone,
            self.isFarewell(announcement, peer.seal)
        else { return }
        self.peers[announcement.incarnation]?.said.number = announcement.number
        self.peers[announcement.incarnation]?.lastHeard = now
        self.remove(announcement.incarnation, .stopped, now, &actions)
    }

    private func isFarewell(_ announcement: Announcement, _ seal: String?) -> Bool {
        guard let seal, let secret = announcement.secret else { return false }
        return Farewell.seal(of: secret) == seal
    }

    private mutating func mentioned(_ server: Announcement.HeardServer, _ now: NIODeadline) {
        guard server.incarnation != self.incarnation, server.name != self.name,
            self.peers[server.incarnation]?.state != .joined
        else {
            self.mentions[server] = nil
            return
        }
        if self.mentions[server] != nil {
            self.mentions[server]?.last = now
        } else if self.mentions.count < self.configuration.maximumMembers {
            self.mentions[server] = Mention(first: now, last: now)
        }
    }

    /// Whether the server must be expected to be mentioned again: who hears many mentions them in turn.
    func isRecent(_ mention: Mention, _ now: NIODeadline) -> Bool {
        let turns = Int64(self.current.count / Announcement.Limits.heard + 1)
        return now - mention.last < self.configuration.deadAfter + self.heartbeatInterval * turns
    }

    /// The link on which a question came, if one can publish there; else any.
    private func answering(_ link: BusLink) -> BusLink? {
        let links = self.publishable
        return links.contains { $0.link == link } ? link : links.first?.link
    }

    // MARK: The same name

    private mutating func receivedRival(
        _ announcement: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        let incarnation = announcement.incarnation
        if announcement.kind == .left {
            if self.isFarewell(announcement, self.rivals[incarnation]?.said.seal) { self.rivals[incarnation] = nil }
            return
        }
        if self.rivals[incarnation] == nil {
            // Who has not answered for the longest gives way.
            let unanswered = self.rivals.filter { $0.value.winner == nil }
            if self.rivals.count >= Self.maximumRivals {
                let first = unanswered.min { $0.value.ask.firstAt < $1.value.ask.firstAt }
                guard let first else { return }
                self.rivals[first.key] = nil
            }
            let rival = Rival(said: announcement, ask: Ask(now: now))
            self.rivals[incarnation] = rival
            self.askRival(incarnation, rival, over: link, now, &actions)
            // It shall hear of this one, too.
            self.isHeartbeatDue = true
        }
        guard var rival = self.rivals[incarnation] else { return }
        switch announcement.kind {
        case .heartbeat, .left, .probe: break
        case .ask:
            self.answer(announcement, winner: rival.winner, over: link, now, &actions)
        case .alive:
            guard
                let asked = rival.ask.asked(announcement.nonce, now: now, answerWithin: self.configuration.answerWithin)
            else { return }
            // One of the two decides, so that both come to the same result.
            if self.incarnation < incarnation {
                if rival.winner == nil {
                    let uptime = (self.uptime(asked) + self.uptime(now)) / 2
                    rival.winner = announcement.uptime > uptime ? incarnation : self.incarnation
                }
            } else if let winner = announcement.winner, winner == incarnation || winner == self.incarnation {
                rival.winner = winner
            }
            rival.said = announcement
            self.rivals[incarnation] = rival
            guard rival.winner == incarnation else { return }
            actions += self.leave(now: now)
            let peer = Peer(state: .joined, said: announcement, lastHeard: now, saidAt: now, spokeAt: now)
            actions.append(.nameTaken(by: self.member(peer, now)))
        }
    }

    mutating func askRival(
        _ incarnation: String,
        _ rival: Rival,
        over link: BusLink?,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        let links = self.publishable
        guard !links.isEmpty else { return }
        var ask = rival.ask
        let over = link.flatMap(self.answering) ?? links[ask.turn % links.count].link
        ask.add(self.makeNonce(), now: now, answerWithin: self.configuration.answerWithin)
        self.rivals[incarnation]?.ask = ask
        self.send(.ask, nonce: ask.nonce, to: rival.said, over: over, now, &actions)
    }

    /// A rival that has lost, or was never there, is asked no longer.
    mutating func expireRivals(_ now: NIODeadline) {
        self.rivals = self.rivals.filter { now - $0.value.ask.firstAt < self.configuration.deadAfter }
    }
}

extension Announcement {
    fileprivate func saysTheSame(as other: Announcement) -> Bool {
        self.links == other.links && self.connections == other.connections && self.rooms == other.rooms
            && self.isDraining == other.isDraining && self.takesClients == other.takesClients
            && self.address == other.address && self.role == other.role
    }
}
