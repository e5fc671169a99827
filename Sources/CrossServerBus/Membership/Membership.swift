import DequeModule
package import NIOCore

/// Who is in the cluster, and which links connect this server to whom.
///
/// A value without clock, sockets and lock: its owner tells it what came and what time it is, and carries out the actions
/// that it returns. ``tick(now:)`` wants to be called every 100 ms.
///
/// A server counts only when it has answered a nonce in its inbox: what a heartbeat says may be long out of date when a
/// Redis server hung. Of two that live with the same name the older one stays; each finds out by itself whether it is
/// the younger one, from an answer that only the other can give.
package struct Membership: Sendable {
    package struct Configuration: Sendable {
        /// Between heartbeats: this, or a second for every 200 servers if that is longer. 1 s.
        package var heartbeatInterval = TimeAmount.seconds(1)
        /// A server that was silent for so long is dead: this, or 3.5 of its heartbeats if that is longer. 3.5 s.
        package var deadAfter = TimeAmount.milliseconds(3_500)
        /// Within which a nonce or a probe has to come back. 1 s.
        package var answerWithin = TimeAmount.seconds(1)
        /// A link is proved when a probe came back no longer ago than this. 2.5 s.
        package var proofLasts = TimeAmount.milliseconds(2_500)
        /// Servers that have proved that they live, dead ones included. The rest is ignored. 4,096.
        package var maximumMembers = 4_096
        /// Servers that were heard of, and have not proved it yet. Beyond, the first ones give way. 1,024.
        package var maximumCandidates = 1_024
        package var role = Member.Role.server
        /// Whether clients may be connected to this server from the start. True.
        package var takesClients = true
        /// Where this server is, for people.
        package var address = ""

        package init() {}
    }

    package let name: String
    package let incarnation: String
    let configuration: Configuration
    let start: NIODeadline
    var random: any RandomNumberGenerator & Sendable

    /// By incarnation.
    var peers: [String: Peer] = [:]
    /// The incarnation that counts, by name.
    var current: [String: String] = [:]
    var ownLinks: [BusLink: OwnLink] = [:]
    /// Others with this server's name: who keeps it, by incarnation.
    var rivals: [String: Rival] = [:]
    var mentions: [Announcement.HeardServer: Mention] = [:]

    /// The incarnations of candidates as they were heard of, and of some that are none any more.
    var candidates = Deque<String>()
    let farewell: Farewell
    package internal(set) var overflows = MembershipOverflows()

    var pace = QuestionPace()
    /// Answers to questions since the last tick.
    var answers = 0
    var number: UInt64 = 0
    var nextHeartbeat: NIODeadline
    var isHeartbeatDue = false
    var heardTurn = 0
    var probeNumber: UInt64 = 0
    var load = (connections: 0, rooms: 0)
    var isDraining = false
    var takesClients: Bool
    var hasEnded = false
    /// Whether ``reach(order:)`` may say something new.
    var isReachNews = true

    /// - Parameters:
    ///   - incarnation: lowercase letters and digits, at most 32, used by no other life of any server.
    ///   - random: makes the nonces, which nobody must be able to guess.
    package init(
        name: String,
        incarnation: String,
        configuration: Configuration = Configuration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        now: NIODeadline
    ) {
        self.name = name
        self.incarnation = incarnation
        self.configuration = configuration
        var random = random
        self.farewell = Farewell(using: &random)
        self.random = random
        self.start = now
        self.nextHeartbeat = now
        self.takesClients = configuration.takesClients
    }

    // MARK: What is known

    /// The live servers, this one not included, sorted by name. Observers are left out.
    package func members(now: NIODeadline) -> [Member] {
        self.live.filter { $0.said.role == .server }.map { self.member($0, now) }.sorted { $0.name < $1.name }
    }

    package func member(named name: String, now: NIODeadline) -> Member? {
        self.peer(named: name).map { self.member($0, now) }
    }

    /// Whether the incarnation is live and has proved it.
    package func isLive(_ incarnation: String) -> Bool {
        self.peers[incarnation]?.state == .joined
    }

    /// This server as the others see it.
    package func own(now: NIODeadline) -> Member {
        Member(
            name: self.name,
            incarnation: self.incarnation,
            role: self.configuration.role,
            address: self.configuration.address,
            uptime: now - self.start,
            connections: self.load.connections,
            rooms: self.load.rooms,
            isDraining: self.isDraining,
            takesClients: self.takesClients,
            links: self.provedLinks.map(\.name),
            isReachable: true
        )
    }

    /// Servers that live and cannot be reached, sorted by name: that others hear, but this one has not heard for a while,
    /// and that this one hears, but that have not heard it for a while.
    package func unreachable(now: NIODeadline) -> [Announcement.HeardServer] {
        let patience = self.configuration.deadAfter
        // Who mentions it may notice its death so much later than this server.
        let mentioned = self.mentions.filter { server, mention in
            mention.last - mention.first >= patience * 2 && self.isRecent(mention, now)
                && self.peer(named: server.name) == nil
        }
        let deaf = self.live.filter { peer in
            peer.said.role == .server && peer.unreachableSince.map { now - $0 >= patience } ?? false
        }
        let servers = mentioned.map(\.key) + deaf.map { .init(name: $0.said.name, incarnation: $0.said.incarnation) }
        return servers.sorted { ($0.name, $0.incarnation) < ($1.name, $1.incarnation) }
    }

    /// The interval that goes with the number of servers.
    package var heartbeatInterval: TimeAmount {
        let servers = Int64(self.current.count + 1)
        let scaled = TimeAmount.nanoseconds(servers * 1_000_000_000 / 200)
        return min(max(self.configuration.heartbeatInterval, scaled), .milliseconds(Announcement.Limits.interval))
    }

    // MARK: What happens

    /// Tells the others at the next heartbeat.
    package mutating func update(connections: Int, rooms: Int) {
        self.load = (connections, rooms)
    }

    /// Tells the others at once.
    package mutating func setDraining(_ isDraining: Bool, now: NIODeadline) -> [MembershipAction] {
        guard self.isDraining != isDraining else { return [] }
        self.isDraining = isDraining
        return self.heartbeat(now)
    }

    /// Clients may be connected from now on. Tells the others at once.
    package mutating func takeClients(now: NIODeadline) -> [MembershipAction] {
        guard !self.takesClients else { return [] }
        self.takesClients = true
        return self.heartbeat(now)
    }

    /// Says that this server stops. Nothing is sent afterwards.
    package mutating func leave(now: NIODeadline) -> [MembershipAction] {
        guard !self.hasEnded else { return [] }
        self.hasEnded = true
        self.number += 1
        return self.publishable.map {
            var announcement = self.announcement(.left, over: $0.link, now)
            announcement.secret = self.farewell.secret
            return .send(announcement, to: .everyone, over: $0.link)
        }
    }

    package mutating func tick(now: NIODeadline) -> [MembershipAction] {
        guard !self.hasEnded else { return [] }
        var actions = self.checkLinks(now)
        self.expirePeers(now, &actions)
        self.checkReachability(now)
        self.askAgain(now, &actions)
        self.expireRivals(now)
        if !self.mentions.isEmpty { self.mentions = self.mentions.filter { self.isRecent($0.value, now) } }
        if self.isHeartbeatDue || now >= self.nextHeartbeat { actions += self.heartbeat(now) }
        return actions
    }

    mutating func heartbeat(_ now: NIODeadline) -> [MembershipAction] {
        guard !self.hasEnded else { return [] }
        let links = self.publishable
        guard !links.isEmpty else { return [] }
        self.isHeartbeatDue = false
        let interval = self.heartbeatInterval
        // A little apart, so that servers that were started together do not go on speaking at the same moment.
        let jitter = Int64(self.random.next() % 101) - 50
        self.nextHeartbeat = now + interval + .nanoseconds(interval.nanoseconds * jitter / 1_000)
        self.number += 1
        let heard = self.nextHeard()
        return links.map { link in
            var announcement = self.announcement(.heartbeat, over: link.link, now)
            announcement.heard = heard
            return .send(announcement, to: .everyone, over: link.link)
        }
    }

    /// Some of the live servers; the next ones next time.
    private mutating func nextHeard() -> [Announcement.HeardServer] {
        let all = self.current.sorted { $0.key < $1.key }
        let count = min(all.count, Announcement.Limits.heard)
        guard count > 0 else { return [] }
        let first = self.heardTurn
        self.heardTurn = (first + count) % all.count
        return (0..<count).map { offset in
            let server = all[(first + offset) % all.count]
            return Announcement.HeardServer(name: server.key, incarnation: server.value)
        }
    }

    func announcement(_ kind: Announcement.Kind, over link: BusLink, _ now: NIODeadline) -> Announcement {
        var announcement = Announcement(
            kind,
            name: self.name,
            incarnation: self.incarnation,
            number: self.number,
            uptime: self.uptime(now),
            via: link.number
        )
        announcement.role = self.configuration.role
        announcement.address = String(self.configuration.address.prefix(63))
        announcement.interval = self.heartbeatInterval.nanoseconds / 1_000_000
        announcement.connections = self.load.connections
        announcement.rooms = self.load.rooms
        announcement.isDraining = self.isDraining
        announcement.takesClients = self.takesClients
        announcement.links = self.provedLinks.prefix(Announcement.Limits.links).map {
            .init(number: $0.link.number, name: String($0.name.prefix(63)))
        }
        return announcement
    }

    func uptime(_ now: NIODeadline) -> Int64 { (now - self.start).nanoseconds / 1_000_000 }
}
