package import NIOCore

/// Who hears which link, as the membership knows.
package struct Reach: Sendable, Equatable {
    package struct Link: Sendable, Equatable {
        package var link: BusLink
        /// When the last probe that came back over it was sent.
        package var provedAt: NIODeadline

        package init(link: BusLink, provedAt: NIODeadline) {
            self.link = link
            self.provedAt = provedAt
        }
    }

    package struct Server: Sendable, Equatable {
        package var name: String
        package var links: [BusLink]
        /// It has not named a link yet, and does not count among those who have to hear.
        package var isStarting: Bool
        package var isObserver: Bool

        package init(name: String, links: [BusLink], isStarting: Bool = false, isObserver: Bool = false) {
            self.name = name
            self.links = links
            self.isStarting = isStarting
            self.isObserver = isObserver
        }
    }

    /// Proved, in the order of preference.
    package var links: [Link] = []
    package var servers: [UInt64: Server] = [:]
    /// How many servers of the original are on each link; nil when the link cannot say. One that is missing has not said yet.
    package var originals: [BusLink: Int?] = [:]

    package init() {}

    /// The links that have as many servers of the original as any. They are only counted: two of which each knows another
    /// link are not told apart.
    ///
    /// - Returns: nil when that is no reason to prefer a link.
    package static func links(of originals: [BusLink: Int?], among links: [BusLink]) -> [BusLink]? {
        let most = links.reduce(0) { max($0, (originals[$1] ?? nil) ?? 0) }
        guard most > 0 else { return nil }
        let heard = links.filter { link in
            guard let count = originals[link] else { return false }
            return count == nil || count == most
        }
        return heard.count < links.count ? heard : nil
    }
}

extension Membership {
    /// Whether ``reach(order:)`` may have changed since this was asked last. It costs time for every server of the cluster, and
    /// most of what they say changes nothing.
    package mutating func takeReachNews() -> Bool {
        defer { self.isReachNews = false }
        return self.isReachNews
    }

    /// - Parameter order: the links in the order of preference, for example the fastest first.
    package func reach(order: [BusLink] = []) -> Reach {
        var reach = Reach()
        for own in self.provedLinks {
            if let provedAt = own.provedAt { reach.links.append(.init(link: own.link, provedAt: provedAt)) }
        }
        if !order.isEmpty {
            let rank = { (link: BusLink) in order.firstIndex(of: link) ?? order.count }
            reach.links.sort { (rank($0.link), $0.link.number) < (rank($1.link), $1.link.number) }
        }
        let links = self.publishable.map(\.link)
        for peer in self.live {
            guard let incarnation = UInt64(peer.said.incarnation, radix: 36) else { continue }
            reach.servers[incarnation] = .init(
                name: peer.said.name,
                links: links.filter { self.hears(peer, $0) == true },
                isStarting: peer.said.links.isEmpty,
                isObserver: peer.said.role == .observer
            )
        }
        return reach
    }
}

/// Which links to take for whom.
struct Routes: Sendable {
    /// Changes with every change; streams choose again then.
    var epoch = 0
    /// Proved, and not given up since.
    var usable: [BusLink] = []
    /// The usable links that everyone hears, or the smallest set that together reaches as many as possible.
    var everyone: [BusLink] = []
    /// Whether all of ``everyone`` have to be taken.
    var needsAll = false
    var servers: [UInt64: [BusLink]] = [:]
    var turn = 0

    /// - Parameter suspended: when a link did not do what was expected of it.
    mutating func update(_ reach: Reach, suspended: [BusLink: NIODeadline]) {
        let old = self
        self.usable = reach.links.filter { link in suspended[link.link].map { link.provedAt > $0 } ?? true }.map(\.link)
        self.servers = reach.servers.mapValues { server in
            // Who is starting hears what it can.
            server.isStarting ? self.usable : self.usable.filter(server.links.contains)
        }
        var audience = reach.servers.filter { !$0.value.isStarting && !$0.value.isObserver }.keys.compactMap {
            self.servers[$0]
        }
        if let originals = Reach.links(of: reach.originals, among: self.usable) { audience.append(originals) }
        self.needsAll = false
        self.everyone = self.usable.filter { link in audience.allSatisfy { $0.contains(link) } }
        if self.everyone.isEmpty, !self.usable.isEmpty {
            self.everyone = self.cover(audience)
            self.needsAll = self.everyone.count > 1
        }
        if old.usable != self.usable || old.everyone != self.everyone || old.needsAll != self.needsAll
            || old.servers != self.servers
        {
            self.epoch += 1
        }
    }

    private func cover(_ audience: [[BusLink]]) -> [BusLink] {
        var cover: [BusLink] = []
        var open = audience.filter { !$0.isEmpty }
        while !open.isEmpty {
            let counts = self.usable.map { link in (link: link, count: open.count { $0.contains(link) }) }
            guard let best = counts.max(by: { $0.count < $1.count }), best.count > 0 else { break }
            cover.append(best.link)
            open.removeAll { $0.contains(best.link) }
        }
        // Nobody can be reached now: they may ask for it later.
        return cover.isEmpty ? Array(self.usable.prefix(1)) : cover
    }

    /// For frames: another one for each try, where there is a choice.
    func link(to incarnation: UInt64, turn: Int) -> BusLink? {
        let heard = self.servers[incarnation] ?? []
        let links = heard.isEmpty ? self.usable : heard
        return links.isEmpty ? nil : links[turn % links.count]
    }
}
