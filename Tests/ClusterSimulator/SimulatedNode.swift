import CrossServerBus
import DequeModule
import NIOCore

/// One life of a server: the machines, and what an adapter around them does.
final class SimulatedNode {
    struct Channel {
        var requestedAt: Int64
        var inForceAt: Int64?
    }

    static let cluster = "csbp:cluster"

    let simulation: Simulation
    let name: String
    let incarnation: UInt64
    let bornAt: Int64
    /// Its clock.
    private let clockOffset: Int64
    private let clockRate: Double
    var membership: Membership
    var sender: DeliverySender
    var receiver: DeliveryReceiver
    var links: [SimulatedLink] = []
    var channels: [String: Channel] = [:]
    var everSubscribed: Set<String> = []
    let inbox: String

    var isAlive = true
    var isStarted = false
    var isLeaving = false
    var isPaused = false
    var diedAt: Int64?
    var refusedBy: String?
    /// Those who had everything when it left; nil when it did not leave.
    var acknowledgedBy: Set<UInt64>?
    private var tickNumber = 0
    private var nextTick: Int64 = .max
    private var nextMembershipTick: Int64 = 0
    var waiting: [UInt64: (pid: Int, channel: String)] = [:]
    var hearing = Hearing()
    /// Since when no Redis server can be reached, and when that was over last if it took long.
    private var deafSince: Int64?
    private var wasDeafUntil: Int64 = -.max / 2

    init(_ simulation: Simulation, name: String) {
        self.simulation = simulation
        self.name = name
        self.bornAt = simulation.now
        self.incarnation = simulation.random.next() | 1
        self.clockOffset = simulation.random(1_000_000_000...100_000_000_000)
        self.clockRate = 1 + Double(simulation.random(-200...200)) / 1_000_000
        let text = String(self.incarnation, radix: 36)
        self.inbox = "csbp:node:\(name):\(text)"
        let now = NIODeadline.uptimeNanoseconds(UInt64(self.clockOffset) * 1_000)
        var configuration = Membership.Configuration()
        configuration.address = "\(name):1"
        configuration.maximumCandidates = 32
        self.membership = Membership(
            name: name,
            incarnation: text,
            configuration: configuration,
            random: SeededGenerator(seed: simulation.random.next()),
            now: now
        )
        let delivery = simulation.scenario.delivery
        self.sender = DeliverySender(
            name: name,
            incarnation: self.incarnation,
            configuration: delivery,
            strategy: simulation.scenario.strategy,
            random: SeededGenerator(seed: simulation.random.next()),
            start: now
        )
        self.receiver = DeliveryReceiver(
            name: name,
            incarnation: self.incarnation,
            configuration: delivery,
            random: SeededGenerator(seed: simulation.random.next()),
            now: now
        )
    }

    var now: NIODeadline {
        let elapsed = Double(self.simulation.now - self.bornAt) * self.clockRate
        return .uptimeNanoseconds(UInt64(self.clockOffset + Int64(elapsed)) * 1_000)
    }

    func start() {
        for channel in [Self.cluster, self.inbox] + self.simulation.scenario.channels(of: self.name) {
            self.subscribe(channel)
        }
        self.channels[self.inbox]?.inForceAt = self.simulation.now
        for redis in self.simulation.knownRedis(self.name) { self.addLink(redis) }
        self.simulation.after(self.simulation.random(1_200_000...1_400_000)) { self.isStarted = true }
        self.tickSoon(100_000)
    }

    func die() {
        self.isAlive = false
        self.diedAt = self.simulation.now
        for link in self.links {
            link.publisher?.close()
            link.subscriber?.close()
        }
    }

    // MARK: Links

    func addLink(_ redis: SimulatedRedis) {
        guard !self.links.contains(where: { $0.redis === redis }) else { return }
        let link = SimulatedLink(self.links.count, redis)
        self.links.append(link)
        self.connect(link)
    }

    func removeLink(_ redis: SimulatedRedis) {
        guard let index = self.links.firstIndex(where: { $0.redis === redis }), self.links.count > 1 else { return }
        let link = self.links[index]
        link.isRemoved = true
        link.publisher?.close()
        link.subscriber?.close()
        link.publisher = nil
        link.subscriber = nil
        link.wasUsable = (false, false)
        self.failed(link)
        self.perform(self.membership.linkRemoved(link.link, now: self.now))
    }

    private func connect(_ link: SimulatedLink) {
        guard self.isAlive, !link.isRemoved else { return }
        guard link.redis.isUp, self.simulation.isConnected(self.name, link.redis), !self.isPaused else {
            return self.simulation.after(200_000) { self.connect(link) }
        }
        if link.publisher == nil { link.publisher = Connection(self, link, .publisher) }
        if link.subscriber == nil {
            let subscriber = Connection(self, link, .subscriber)
            link.subscriber = subscriber
            link.acknowledged = []
            for channel in self.channels.keys.sorted() { subscriber.send(.subscribe(channel)) }
        }
        link.lastGood = self.simulation.now
        self.changed(link)
    }

    func changed(_ link: SimulatedLink) {
        guard !link.isRemoved else { return }
        let isSubscribed = self.channels.allSatisfy { $0.value.inForceAt == nil || link.acknowledged.contains($0.key) }
        let hasSystem = link.acknowledged.contains(Self.cluster) && link.acknowledged.contains(self.inbox)
        let status = BusLinkStatus(
            link: link.link,
            name: "redis\(link.redis.number)",
            canPublish: link.publisher != nil,
            canReceive: link.subscriber != nil && isSubscribed && hasSystem
        )
        guard (status.canPublish, status.canReceive) != link.wasUsable else { return }
        link.wasUsable = (status.canPublish, status.canReceive)
        self.perform(self.membership.linkChanged(status, now: self.now))
    }

    func closed(_ connection: Connection) {
        connection.isOpenHere = false
        let link = connection.link
        if link.subscriber === connection {
            link.subscriber = nil
            link.acknowledged = []
        } else if link.publisher === connection {
            link.publisher = nil
            self.failed(link)
        } else {
            return
        }
        self.changed(link)
        self.simulation.after(self.simulation.random(5_000...100_000)) { self.connect(link) }
    }

    /// Connects anew what does not carry messages, as a client of Redis does whose pings are not answered.
    private func checkConnections() {
        for link in self.links where link.publisher != nil && link.subscriber != nil {
            if self.membership.isProved(link.link) { link.lastGood = self.simulation.now }
            guard self.simulation.now - link.lastGood > 2_500_000 else { continue }
            link.publisher?.close()
            link.subscriber?.close()
            link.publisher = nil
            link.subscriber = nil
            link.acknowledged = []
            self.failed(link)
            self.changed(link)
            self.connect(link)
        }
    }

    /// What is outstanding on a link has no outcome.
    func failed(_ link: SimulatedLink) {
        let tickets = link.outstanding.compactMap(\.ticket)
        link.outstanding = []
        self.perform(self.sender.unanswered(tickets, over: link.link, now: self.now))
        self.perform(self.membership.probe(link.link, now: self.now))
    }

    // MARK: Channels

    func subscribe(_ channel: String) {
        guard self.channels[channel] == nil else { return }
        self.channels[channel] = Channel(requestedAt: self.simulation.now)
        self.everSubscribed.insert(channel)
        self.receiver.subscribe(channel, now: self.now)
        for link in self.links { link.subscriber?.send(.subscribe(channel)) }
    }

    func unsubscribe(_ channel: String) {
        guard self.channels.removeValue(forKey: channel) != nil else { return }
        self.receiver.unsubscribe(channel)
        for link in self.links {
            link.subscriber?.send(.unsubscribe(channel))
            link.acknowledged.remove(channel)
        }
        self.simulation.journal.unsubscribed(self.incarnation, channel)
    }

    func checkSubscriptions() {
        let proved = self.links.filter { self.membership.isProved($0.link) }
        let connected = self.links.filter { $0.subscriber != nil }
        for (channel, state) in self.channels where state.inForceAt == nil {
            let wanted = proved.isEmpty ? connected : proved
            guard !wanted.isEmpty, wanted.allSatisfy({ $0.acknowledged.contains(channel) }) else { continue }
            self.channels[channel]?.inForceAt = self.simulation.now
            self.receiver.inForce(channel, now: self.now)
        }
    }

    // MARK: Time

    func tickSoon(_ delay: Int64) {
        let time = self.simulation.now + delay
        guard time < self.nextTick else { return }
        self.nextTick = time
        self.tickNumber += 1
        let number = self.tickNumber
        self.simulation.after(delay) {
            if number == self.tickNumber { self.tick() }
        }
    }

    private func tick() {
        self.nextTick = .max
        guard self.isAlive else { return }
        guard !self.isPaused else { return self.tickSoon(20_000) }
        for link in self.links {
            if let first = link.outstanding.first, self.simulation.now - first.sentAt > 200_000 { self.failed(link) }
        }
        if self.simulation.now >= self.nextMembershipTick {
            self.nextMembershipTick = self.simulation.now + 100_000
            self.perform(self.membership.tick(now: self.now))
            guard self.isAlive else { return }
            self.hear()
            self.askWhoHears()
            self.checkSubscriptions()
            self.checkConnections()
            for link in self.links { self.changed(link) }
            self.reached()
        }
        self.perform(self.sender.tick(now: self.now))
        self.receiver.tick(now: self.now)
        self.takeActions()
        if self.isLeaving, self.sender.hasLeft || self.sender.mustLeave(now: self.now) { return self.finishLeaving() }
        self.tickSoon(self.receiver.isBusy ? 5_000 : self.sender.isBusy ? 10_000 : 100_000)
    }

    // MARK: Hearing

    func noteHearing(_ hears: Bool) {
        guard hears else {
            self.deafSince = self.deafSince ?? self.simulation.now
            return
        }
        if let since = self.deafSince, self.simulation.now - since > 3_000_000 {
            self.wasDeafUntil = self.simulation.now
        }
        self.deafSince = nil
    }

    func hasBeenDeaf(for time: Int64, within recent: Int64) -> Bool {
        if let since = self.deafSince, self.simulation.now - since > time { return true }
        return self.simulation.now - self.wasDeafUntil < recent
    }

    // MARK: Leaving

    func leave() {
        self.isLeaving = true
        self.perform(self.sender.leave(now: self.now))
        self.tickSoon(10_000)
    }

    private func finishLeaving() {
        let missing = Set(self.sender.missingAcknowledgements)
        let live = self.membership.members(now: self.now).compactMap { UInt64($0.incarnation, radix: 36) }
        self.acknowledgedBy = Set(live).subtracting(missing)
        self.perform(self.sender.end())
        self.perform(self.membership.leave(now: self.now))
        self.simulation.note("\(self.name) has left")
        self.simulation.after(1_000) { if self.isAlive { self.die() } }
    }
}
