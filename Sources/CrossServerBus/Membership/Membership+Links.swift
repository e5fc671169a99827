package import NIOCore

extension Membership {
    /// A link of this server.
    struct OwnLink: Sendable {
        var link: BusLink
        var name: String
        var canPublish: Bool
        var canReceive: Bool
        /// When the last probe that came back was sent.
        var provedAt: NIODeadline?
        var probedAt: NIODeadline?
        /// Since when it has been proved without a break.
        var provedSince: NIODeadline?
        /// As ``provedAt``, and kept when the link is lost; set when the link was proved.
        var heardUntil: NIODeadline?
        /// When each probe that may still come back was sent.
        var probes: [UInt64: NIODeadline] = [:]
        /// How long the last probe took that came back.
        var roundTrip: TimeAmount?
        var isProved = false
        /// To be probed soon.
        var isInDoubt = false
    }

    var publishable: [OwnLink] {
        self.ownLinks.values.filter(\.canPublish).sorted { $0.link.number < $1.link.number }
    }

    /// The links over which this server hears what it publishes.
    var provedLinks: [OwnLink] {
        self.ownLinks.values.filter(\.isProved).sorted { $0.link.number < $1.link.number }
    }

    /// The links that carry messages of this server to itself.
    package var linksProved: [BusLink] { self.provedLinks.map(\.link) }

    /// Whether a message that this server published on the link came back not long ago.
    package func isProved(_ link: BusLink) -> Bool { self.ownLinks[link]?.isProved ?? false }

    /// Whether a live server hears what is published on the link; nil when that is not known.
    package func hears(_ incarnation: String, _ link: BusLink) -> Bool? {
        self.peers[incarnation].flatMap { $0.state == .joined ? self.hears($0, link) : nil }
    }

    /// Of this server's links those that the peer hears; nil while it names none at all.
    func heardLinks(of peer: Peer) -> [BusLink]? {
        peer.said.links.isEmpty ? nil : self.ownLinks.keys.filter { self.hears(peer, $0) == true }
    }

    func hears(_ peer: Peer, _ link: BusLink) -> Bool? {
        // It speaks over all its links: one that missed some heartbeats may lead elsewhere meanwhile.
        guard let known = peer.links[link], peer.said.number - min(known.number, peer.said.number) <= 3 else {
            return nil
        }
        return peer.said.links.contains { $0.number == known.via }
    }

    /// The links that are proved and that every live server hears. Without other servers: all that are proved.
    ///
    /// A server that has not named any link yet is starting, and does not count.
    package var linksReachingAll: [BusLink] {
        let servers = self.live.filter { $0.said.role == .server && !$0.said.links.isEmpty }
        return self.provedLinks.filter(\.canPublish).map(\.link).filter { link in
            servers.allSatisfy { self.hears($0, link) == true }
        }
    }

    /// Tells what has become of a link.
    package mutating func linkChanged(_ status: BusLinkStatus, now: NIODeadline) -> [MembershipAction] {
        var actions: [MembershipAction] = []
        guard !self.hasEnded else { return actions }
        var link =
            self.ownLinks[status.link]
            ?? OwnLink(link: status.link, name: status.name, canPublish: false, canReceive: false)
        let wasUsable = link.canPublish && link.canReceive
        link.name = status.name
        link.canPublish = status.canPublish
        link.canReceive = status.canReceive
        let isUsable = link.canPublish && link.canReceive
        if !isUsable {
            link.provedAt = nil
            link.probes = [:]
            link.roundTrip = nil
        }
        self.ownLinks[status.link] = link
        self.isReachNews = true
        self.update(status.link, now, &actions)
        if isUsable, !wasUsable {
            self.probe(status.link, now, &actions)
            // With the next tick, or when the probe has come back: then the others learn at once that the link is heard.
            self.isHeartbeatDue = true
        }
        return actions
    }

    /// Forgets a link that was removed.
    package mutating func linkRemoved(_ link: BusLink, now: NIODeadline) -> [MembershipAction] {
        let status = BusLinkStatus(link: link, name: "", canPublish: false, canReceive: false)
        let actions = self.linkChanged(status, now: now)
        self.ownLinks[link] = nil
        self.isReachNews = true
        for incarnation in self.peers.keys { self.peers[incarnation]?.links[link] = nil }
        return actions
    }

    mutating func checkLinks(_ now: NIODeadline) -> [MembershipAction] {
        var actions: [MembershipAction] = []
        for link in self.publishable where link.canReceive {
            let wait = link.isInDoubt ? Self.probeEvery : self.configuration.answerWithin
            if link.probedAt.map({ now - $0 >= wait }) ?? true { self.probe(link.link, now, &actions) }
        }
        for link in self.ownLinks.keys.sorted(by: { $0.number < $1.number }) { self.update(link, now, &actions) }
        return actions
    }

    /// Finds out at once whether a link on which something failed carries messages, and not only at the next tick that
    /// would. At most every 50 ms.
    package mutating func probe(_ link: BusLink, now: NIODeadline) -> [MembershipAction] {
        var actions: [MembershipAction] = []
        guard !self.hasEnded, let own = self.ownLinks[link], own.canPublish, own.canReceive else { return actions }
        guard own.probedAt.map({ now - $0 >= Self.probeEvery }) ?? true else {
            self.ownLinks[link]?.isInDoubt = true
            return actions
        }
        self.probe(link, now, &actions)
        return actions
    }

    /// How long the last probe took, or takes if it is not over, on the link where it is fastest. Nil when none was sent.
    func lag(_ now: NIODeadline) -> (time: TimeAmount, isOver: Bool)? {
        self.ownLinks.values.compactMap { link in
            link.probes.values.min().map { (now - $0, false) } ?? link.roundTrip.map { ($0, true) }
        }.min { $0.0 < $1.0 }
    }

    /// While others are asked, the time that answers take has to be known.
    mutating func probeForLag(_ now: NIODeadline, _ actions: inout [MembershipAction]) {
        for link in self.publishable where link.canReceive && link.probes.isEmpty {
            actions += self.probe(link.link, now: now)
        }
    }

    private static var probeEvery: TimeAmount { .milliseconds(50) }

    private mutating func probe(_ link: BusLink, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        self.probeNumber += 1
        var probe = self.announcement(.probe, over: link, now)
        probe.links = []
        probe.number = self.probeNumber
        let wait = self.configuration.answerWithin
        guard var own = self.ownLinks[link] else { return }
        own.probedAt = now
        own.isInDoubt = false
        own.probes = own.probes.filter { now - $0.value <= wait }
        own.probes[self.probeNumber] = now
        self.ownLinks[link] = own
        let inbox = MembershipAction.Destination.inbox(name: self.name, incarnation: self.incarnation)
        actions.append(.send(probe, to: inbox, over: link))
    }

    mutating func probeReturned(
        _ probe: Announcement,
        over link: BusLink,
        _ now: NIODeadline,
        _ actions: inout [MembershipAction]
    ) {
        // Over another link than it was sent on: two links lead to the same server. That proves neither.
        guard probe.via == link.number, var own = self.ownLinks[link],
            let sent = own.probes.removeValue(forKey: probe.number), now - sent <= self.configuration.answerWithin
        else { return }
        own.provedAt = max(own.provedAt ?? sent, sent)
        own.roundTrip = now - sent
        self.isReachNews = true
        self.ownLinks[link] = own
        self.update(link, now, &actions)
        self.ownLinks[link]?.heardUntil = sent
        if !own.isProved { actions += self.heartbeat(now) }
    }

    /// Finds out anew whether the link is proved, and tells when that has changed.
    private mutating func update(_ link: BusLink, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        guard let own = self.ownLinks[link] else { return }
        let isRecent = own.provedAt.map { now - $0 <= self.configuration.proofLasts } ?? false
        let isProved = own.canPublish && own.canReceive && isRecent
        guard isProved != own.isProved else { return }
        self.isReachNews = true
        self.ownLinks[link]?.isProved = isProved
        self.ownLinks[link]?.provedSince = isProved ? now : nil
        // What was counted there says nothing any more.
        if !isProved { for incarnation in self.peers.keys { self.peers[incarnation]?.unheard.remove(link) } }
        if isProved {
            actions.append(.linkProved(link, missedSince: own.heardUntil))
        } else {
            actions.append(.linkLost(link, missedSince: own.heardUntil ?? now))
        }
        self.isHeartbeatDue = true
    }
}
