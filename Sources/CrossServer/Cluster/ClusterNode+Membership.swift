import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// The servers of the cluster as this one knows them: read from any thread.
struct Roster: Sendable {
    /// The other live servers by name.
    var members: [String: Member] = [:]
    /// When they were as long up as they say.
    var takenAt = NIODeadline.uptimeNanoseconds(0)
    /// Their names, sorted.
    var names: [String] = []
    /// Lives that have fallen silent, by name, and until when they may go on where they were: what is for them takes the
    /// same channel as before, since another one could overtake it.
    var silent: [String: (incarnation: String, until: NIODeadline)] = [:]
    /// Since when no link delivers to the inbox of a live server, by name.
    var suspects: [String: NIODeadline] = [:]
    /// Servers that live and cannot be reached, sorted by name.
    var unreachable: [Announcement.HeardServer] = []
    /// This server.
    var own: Member?
    /// Servers of the original on each link; nil when the link cannot say.
    var originals: [BusLink: Int?] = [:]

    /// Whether there is no other server, nor one that may come back.
    var isAlone: Bool { self.members.isEmpty && self.silent.isEmpty }

    /// Where messages for the live servers go, by name.
    var inboxes: [String: Inbox] = [:]

    /// A channel that one life of a server hears alone.
    struct Inbox: Sendable {
        var channel: String
        var incarnation: UInt64?
    }

    mutating func enter(_ member: Member, _ inbox: Inbox, now: NIODeadline) {
        guard member.role == .server else { return }
        var member = member
        // All uptimes are of one moment.
        if self.members.isEmpty { self.takenAt = now }
        member.uptime = member.uptime - (now - self.takenAt)
        let isNew = self.members.updateValue(member, forKey: member.name) == nil
        self.inboxes[member.name] = inbox
        self.silent[member.name] = nil
        if isNew { self.names.insert(member.name, at: self.names.firstIndex { $0 > member.name } ?? self.names.count) }
    }

    mutating func remove(_ member: Member, now: NIODeadline) {
        self.silent = self.silent.filter { $0.value.until > now }
        guard self.members[member.name]?.incarnation == member.incarnation else { return }
        self.members[member.name] = nil
        self.inboxes[member.name] = nil
        self.suspects[member.name] = nil
        self.names.removeAll { $0 == member.name }
    }

    /// The life that has fallen silent, and to which messages for a name go.
    func silentIncarnation(of name: String, now: NIODeadline) -> String? {
        self.silent[name].flatMap { $0.until > now ? $0.incarnation : nil }
    }

    var originalServerCount: Int { self.originals.values.reduce(0) { max($0, $1 ?? 0) } }
    var mayHaveOriginalServers: Bool { self.originals.isEmpty || self.originals.values.contains { $0 != 0 } }
}

// All of this happens on the node's event loop, on which the membership lives: it is told little, and seldom.
extension ClusterNode {
    private static let tick = TimeAmount.milliseconds(100)

    /// Keeps up the membership until the returned tasks are cancelled.
    func startMembership() -> [RepeatedTask] {
        let membership = self.eventLoop.scheduleRepeatedTask(initialDelay: Self.tick, delay: Self.tick) {
            [weak self] _ in
            guard let self else { return }
            self.tickLocations()
            let load = self.clients.load
            self.changeMembership(isTick: true) { membership, now in
                membership.update(connections: load.connections, rooms: load.rooms)
                return membership.tick(now: now)
            }
            self.courier?.tick()
            self.reportOverflows()
            self.updateReadiness(.now())
        }
        let originals = self.eventLoop.scheduleRepeatedTask(initialDelay: Self.tick, delay: .seconds(1)) {
            [weak self] _ in
            self?.countOriginalServers()
        }
        return [membership, originals]
    }

    /// On the event loop.
    ///
    /// - Parameter isTick: whether time alone may have changed something.
    func changeMembership(isTick: Bool = false, _ body: (inout Membership, NIODeadline) -> [MembershipAction]) {
        let now = NIODeadline.now()
        let actions = body(&self.membership.value, now)
        for action in actions {
            self.courier?.perform(action, now: now)
            self.perform(action, now)
        }
        // Where the fastest link is preferred, the order changes with time.
        if let courier = self.courier,
            self.membership.value.takeReachNews() || (isTick && courier.bus.strategy == .fastest)
        {
            let order = courier.bus.strategy == .fastest ? courier.bus.links.map(\.link) : []
            var reach = self.membership.value.reach(order: order)
            reach.originals = self.roster.withLock { $0.originals }
            courier.update(reach)
        }
        let own = self.membership.value.own(now: now)
        self.roster.withLock { $0.own = own }
    }

    private func perform(_ action: MembershipAction, _ now: NIODeadline) {
        switch action {
        case .send(let announcement, let destination, let link):
            let channel =
                switch destination {
                case .everyone: self.channels.cluster
                case .inbox(let name, let incarnation): self.channels.inbox(of: name, incarnation: incarnation)
                }
            self.say(announcement.event, to: channel, over: link)
        case .joined(let member):
            self.enterRoster(member, now)
            for former in self.hearing.withLock({ $0.joined(Holder(member)) }) { self.isGone(former, .died) }
            if member.role == .server {
                self.askForPresence(member.name)
                self.report(.joined(ClusterServer(member)))
            }
        case .left(let member, let reason):
            self.roster.withLock { $0.remove(member, now: now) }
            if case .died = reason, self.courier != nil {
                let until = now + DeliveryConfiguration().historyTime
                self.roster.withLock { $0.silent[member.name] = (member.incarnation, until) }
            }
            self.presenceLeft(member.name)
            self.serverLeft(member, reason, now)
            if member.role == .server { self.report(.left(ClusterServer(member), .init(reason))) }
        case .changed(let member):
            self.enterRoster(member, now)
        case .suspected(let member):
            self.enterRoster(member, now)
            self.roster.withLock { if $0.members[member.name] != nil { $0.suspects[member.name] = now } }
            self.isSuspect(Holder(member), true)
        case .cleared(let member):
            self.enterRoster(member, now)
            self.roster.withLock { $0.suspects[member.name] = nil }
            self.isSuspect(Holder(member), false)
        case .linkProved, .linkLost, .heartbeatMissed:
            break
        case .nameTaken(let member):
            let place = member.address.isEmpty ? "" : " at \(member.address)"
            let problem = "another server of the cluster has the name \(self.name)\(LogText(place))"
            self.failures.continuation.yield(CrossServerError(.nameTaken, problem))
        }
    }

    private func report(_ change: ServerChange) {
        switch change {
        case .joined(let server):
            self.logger.info("server joined", metadata: ["joined": "\(LogText(server.name))"])
        case .left(let server, let reason):
            self.logger.info("server left", metadata: ["left": "\(LogText(server.name))", "reason": "\(reason)"])
        }
        self.serverChanges.emit(change)
    }

    func inbox(of name: String, _ incarnation: String) -> Roster.Inbox {
        Roster.Inbox(
            channel: self.channels.inbox(of: name, incarnation: incarnation),
            incarnation: UInt64(incarnation, radix: 36)
        )
    }

    private func enterRoster(_ member: Member, _ now: NIODeadline) {
        let inbox = self.inbox(of: member.name, member.incarnation)
        self.roster.withLock { $0.enter(member, inbox, now: now) }
    }

    /// Both channels are subscribed by all servers, but the cluster's by ours alone.
    private func countOriginalServers() {
        guard let bus = self.bus else { return }
        let links = bus.links.filter(\.canPublish).map(\.link)
        self.roster.withLock { roster in
            roster.originals = roster.originals.filter { links.contains($0.key) }
        }
        for link in links {
            bus.countSubscribers(of: [self.channels.bridge, self.channels.cluster], over: link) { [weak self] counts in
                let originals = counts.flatMap { $0.count == 2 ? max($0[0] - $0[1], 0) : nil }
                self?.counted(originals, on: link)
            }
        }
    }

    private func say(_ event: CrossServerEvent, to channel: String, over link: BusLink) {
        guard let bus = self.bus else { return }
        do {
            var buffer = ByteBuffer()
            try event.write(into: &buffer, as: self.configuration.cluster.encoding)
            try bus.publish(buffer, to: channel, over: link, completion: nil)
        } catch {
            self.logger.debug("not announced", metadata: ["error": "\(LogText(error))"])
        }
    }
}

extension Holder {
    init(_ member: Member) {
        self.init(name: member.name, incarnation: member.incarnation)
    }
}

extension ClusterServer {
    init(_ member: Member, isThisServer: Bool = false) {
        self.init(
            name: member.name,
            incarnation: member.incarnation,
            uptime: .nanoseconds(member.uptime.nanoseconds),
            connections: member.connections,
            rooms: member.rooms,
            links: member.links,
            isStopping: member.isDraining,
            isReachable: member.isReachable,
            isThisServer: isThisServer
        )
    }

    /// A server that only others hear.
    init(unreachable server: Announcement.HeardServer) {
        self.init(
            name: server.name,
            incarnation: server.incarnation,
            uptime: .zero,
            connections: 0,
            rooms: 0,
            links: [],
            isStopping: false,
            isReachable: false,
            isThisServer: false
        )
    }
}

extension ServerChange.LeaveReason {
    init(_ reason: MembershipAction.LeaveReason) {
        self =
            switch reason {
            case .stopped: .stopped
            case .died: .died
            case .replaced: .replaced
            }
    }
}
