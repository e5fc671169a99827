package import NIOCore

// A server whose inbox nobody hears any more has most often died: Redis knows at once, by its connections. So it is suspect
// long before its silence says so.
extension Membership {
    /// A link has said how many hear the inbox of a server.
    ///
    /// - Parameter askedAt: when it was asked; what it says is no news when the server has spoken since.
    package mutating func inboxHeard(
        by receivers: Int,
        of incarnation: String,
        over link: BusLink,
        askedAt: NIODeadline,
        now: NIODeadline
    ) -> [MembershipAction] {
        var actions: [MembershipAction] = []
        guard !self.hasEnded, let peer = self.peers[incarnation], peer.state == .joined else { return actions }
        if receivers > 0 {
            self.clear(incarnation, now, &actions)
        } else if askedAt > peer.spokeAt, self.isProved(link) {
            self.peers[incarnation]?.unheard.insert(link)
            self.suspect(incarnation, now, &actions)
        }
        return actions
    }

    /// Whether no link delivers to the inbox of the life any more.
    package func isSuspect(_ incarnation: String) -> Bool { self.peers[incarnation]?.isSuspect ?? false }

    mutating func spoke(_ incarnation: String, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        self.peers[incarnation]?.spokeAt = now
        self.clear(incarnation, now, &actions)
    }

    private mutating func clear(_ incarnation: String, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        guard var peer = self.peers[incarnation], !peer.unheard.isEmpty || peer.isSuspect else { return }
        let wasSuspect = peer.isSuspect
        peer.unheard = []
        peer.isSuspect = false
        self.peers[incarnation] = peer
        if wasSuspect { actions.append(.cleared(self.member(peer, now))) }
    }

    private mutating func suspect(_ incarnation: String, _ now: NIODeadline, _ actions: inout [MembershipAction]) {
        guard var peer = self.peers[incarnation], !peer.isSuspect else { return }
        let links = self.provedLinks
        guard links.allSatisfy({ peer.unheard.contains($0.link) }),
            // It was heard there. A Redis server that has just come back has no subscribers yet, though all live.
            links.contains(where: { link in
                link.provedSince.map { $0 <= peer.saidAt } ?? false && self.hears(peer, link.link) == true
            })
        else { return }
        peer.isSuspect = true
        self.peers[incarnation] = peer
        actions.append(.suspected(self.member(peer, now)))
    }
}
