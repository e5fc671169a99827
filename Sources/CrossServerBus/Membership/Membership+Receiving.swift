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
        guard let wasKnown = self.takeIn(announcement, over: link, now, &actions) else { return }
        switch announcement.kind {
        case .heartbeat:
            for server in announcement.heard { self.mentioned(server, now) }
        case .ask:
            if let nonce = announcement.nonce, let over = self.answering(link) {
                self.send(.alive, nonce: nonce, to: announcement, over: over, now, &actions)
            }
        case .alive:
            let within = self.configuration.answerWithin
            if self.peers[incarnation]?.ask?.asked(announcement.nonce, now: now, answerWithin: within) != nil {
                self.proved(incarnation, now, &actions)
            }
        case .left, .probe: break
        }
        guard let peer = self.peers[incarnation] else { return }
        if peer.state == .candidate, peer.ask == nil || !wasKnown { self.ask(incarnation, over: link, now, &actions) }
    }

    /// - Returns: whether the peer was known; nil when what it says is out of date or one too many.
    private mutating func takeIn(
        _ announcement: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) -> Bool? {
        guard var peer = self.peers[announcement.incarnation] else {
            guard self.peers.count < self.configuration.maximumMembers else { return nil }
            var peer = Peer(said: announcement, lastHeard: now, saidAt: now, spokeAt: now)
            peer.links[link] = (announcement.via, announcement.number)
            self.peers[announcement.incarnation] = peer
            return false
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
        if peer.state == .gone, isNews { peer.state = .candidate }
        if peer.state == .joined, heard != self.heardLinks(of: peer) { self.isReachNews = true }
        self.peers[announcement.incarnation] = peer
        self.spoke(announcement.incarnation, now, &actions)
        if hasChanged, peer.state == .joined { actions.append(.changed(self.member(peer, now))) }
        return true
    }

    private mutating func receivedLeft(
        _ announcement: Announcement,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        guard let peer = self.peers[announcement.incarnation], peer.said.name == announcement.name,
            announcement.number > peer.said.number, peer.state != .gone
        else { return }
        self.peers[announcement.incarnation]?.said.number = announcement.number
        self.peers[announcement.incarnation]?.lastHeard = now
        self.remove(announcement.incarnation, .stopped, now, &actions)
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
            self.rivals[incarnation] = nil
            return
        }
        if self.rivals[incarnation] == nil {
            guard self.rivals.count < Self.maximumRivals else { return }
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
            guard let nonce = announcement.nonce, let over = self.answering(link) else { return }
            self.send(.alive, nonce: nonce, winner: rival.winner, to: announcement, over: over, now, &actions)
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
