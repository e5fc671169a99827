import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

// All of this happens on the transport's event loop, on which the membership lives: it is told little, and seldom.
extension Servers {
    private static let tick = TimeAmount.milliseconds(100)

    /// Keeps up the membership until the returned tasks are cancelled.
    func startMembership() -> [RepeatedTask] {
        let membership = self.transport.eventLoop.scheduleRepeatedTask(initialDelay: Self.tick, delay: Self.tick) {
            [weak self] _ in
            guard let self else { return }
            let now = NIODeadline.now()
            let hears = self.roster.withLock { $0.own?.links.isEmpty == false }
            for holder in self.hearing.withLock({ $0.update(hears: hears, now: now) }) {
                self.delegate.value?.isGone(holder, hasStopped: false)
            }
            self.delegate.value?.tick(now)
            let load = self.delegate.value?.load
            self.changeMembership(isTick: true) { membership, now in
                if let load { membership.update(connections: load.connections, rooms: load.rooms) }
                return membership.tick(now: now)
            }
            self.transport.courier?.tick()
            self.reportOverflows()
            self.updateReadiness(.now())
        }
        let originals = self.transport.eventLoop.scheduleRepeatedTask(initialDelay: Self.tick, delay: .seconds(1)) {
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
            self.transport.courier?.perform(action, now: now)
            self.perform(action, now)
        }
        // Where the fastest link is preferred, the order changes with time.
        if let courier = self.transport.courier,
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
                case .everyone: self.transport.channels.cluster
                case .inbox(let name, let incarnation):
                    self.transport.channels.inbox(of: name, incarnation: incarnation)
                }
            self.say(announcement.event, to: channel, over: link)
        case .joined(let member):
            self.enterRoster(member, now)
            for former in self.hearing.withLock({ $0.joined(Holder(member)) }) {
                self.delegate.value?.isGone(former, hasStopped: false)
            }
            if member.role == .server {
                self.delegate.value?.joined(member)
                self.report(.joined(ClusterServer(member)))
            }
        case .left(let member, let reason):
            self.roster.withLock { $0.remove(member, now: now) }
            if case .died = reason, self.transport.courier != nil {
                let until = now + DeliveryConfiguration().historyTime
                self.roster.withLock { $0.silent[member.name] = (member.incarnation, until) }
            }
            self.delegate.value?.left(member)
            self.fellSilent(member, reason, now)
            if member.role == .server { self.report(.left(ClusterServer(member), .init(reason))) }
        case .changed(let member):
            self.enterRoster(member, now)
        case .suspected(let member):
            self.enterRoster(member, now)
            self.roster.withLock { if $0.members[member.name] != nil { $0.suspects[member.name] = now } }
            self.delegate.value?.isSuspect(Holder(member), true)
        case .cleared(let member):
            self.enterRoster(member, now)
            self.roster.withLock { $0.suspects[member.name] = nil }
            self.delegate.value?.isSuspect(Holder(member), false)
        case .linkProved, .linkLost, .heartbeatMissed:
            break
        case .nameTaken(let member):
            let place = member.address.isEmpty ? "" : " at \(member.address)"
            let problem = "another server of the cluster has the name \(self.transport.name)\(LogText(place))"
            self.failures.continuation.yield(CrossServerError(.nameTaken, problem))
        }
    }

    /// Who has died holds no client any more, and answers nobody. But when this server could not hear, it may be well: then who
    /// waits for it goes on waiting, and messages for it must not be overtaken by others on another way.
    private func fellSilent(_ member: Member, _ reason: MembershipAction.LeaveReason, _ now: NIODeadline) {
        let holder = Holder(member)
        switch reason {
        case .stopped: self.delegate.value?.isGone(holder, hasStopped: true)
        case .replaced: self.delegate.value?.isGone(holder, hasStopped: false)
        case .died:
            if self.hearing.withLock({ $0.fellSilent(holder, now: now) }) {
                self.delegate.value?.isGone(holder, hasStopped: false)
            }
        }
    }

    private func report(_ change: ServerChange) {
        switch change {
        case .joined(let server):
            self.transport.logger.info("server joined", metadata: ["joined": "\(LogText(server.name))"])
        case .left(let server, let reason):
            self.transport.logger.info(
                "server left",
                metadata: ["left": "\(LogText(server.name))", "reason": "\(reason)"]
            )
        }
        self.serverChanges.emit(change)
    }

    /// - Returns: nil when nobody with the name is known.
    func inbox(of name: String) -> Roster.Inbox? {
        self.roster.withLock { roster in
            if let inbox = roster.inboxes[name] { return inbox }
            return roster.silentIncarnation(of: name, now: .now()).map { self.inbox(of: name, $0) }
        }
    }

    private func inbox(of name: String, _ incarnation: String) -> Roster.Inbox {
        Roster.Inbox(
            channel: self.transport.channels.inbox(of: name, incarnation: incarnation),
            incarnation: UInt64(incarnation, radix: 36)
        )
    }

    private func enterRoster(_ member: Member, _ now: NIODeadline) {
        let inbox = self.inbox(of: member.name, member.incarnation)
        self.roster.withLock { $0.enter(member, inbox, now: now) }
    }

    /// Both channels are subscribed by all servers, but the cluster's by ours alone.
    private func countOriginalServers() {
        guard let bus = self.transport.bus else { return }
        let links = bus.links.filter(\.canPublish).map(\.link)
        self.roster.withLock { roster in
            roster.originals = roster.originals.filter { links.contains($0.key) }
        }
        for link in links {
            bus.countSubscribers(of: [self.transport.channels.bridge, self.transport.channels.cluster], over: link) {
                [weak self] counts in
                let originals = counts.flatMap { $0.count == 2 ? max($0[0] - $0[1], 0) : nil }
                self?.counted(originals, on: link)
            }
        }
    }

    private func say(_ event: CrossServerEvent, to channel: String, over link: BusLink) {
        guard let bus = self.transport.bus else { return }
        do {
            var buffer = ByteBuffer()
            try event.write(into: &buffer, as: self.transport.configuration.cluster.encoding)
            try bus.publish(buffer, to: channel, over: link, completion: nil)
        } catch {
            self.transport.logger.debug("not announced", metadata: ["error": "\(LogText(error))"])
        }
    }
}
