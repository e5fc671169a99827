import CrossServerBus
import NIOCore

/// What a run is like, drawn from its seed.
struct Scenario: CustomStringConvertible {
    // Microseconds.
    static let firstFault: Int64 = 2_500_000
    static let lastFault: Int64 = 11_000_000
    static let healed: Int64 = 12_500_000
    static let lastMessage: Int64 = 15_000_000
    static let end: Int64 = 23_000_000

    static let appChannels = (0..<5).map { "ws:c\($0)" }

    var nodeCount: Int
    var redisCount: Int
    var strategy: LinkStrategy
    var delivery = DeliveryConfiguration()
    /// Items that wait for a subscriber when Redis cuts it.
    var outputLimit: Int
    var duplication: Double
    /// Of messages, on the way from Redis to one subscriber, without any sign.
    var loss: Double
    var hasOriginal: Bool
    var addsRedis = false
    var removesRedis = false
    var isNearLimits: Bool
    var isForgetful: Bool
    private var subscriptions: [String: [String]] = [:]

    init(_ random: inout SeededGenerator) {
        self.nodeCount = .random(in: 2...4, using: &random)
        self.redisCount = .random(in: 1...3, using: &random)
        self.strategy = [.random, .roundRobin, .first].randomElement(using: &random) ?? .first
        self.outputLimit = Int.random(in: 0...2, using: &random) == 0 ? 150 : 100_000
        self.duplication = Int.random(in: 0...3, using: &random) == 0 ? 0.02 : 0
        self.loss = Int.random(in: 0...3, using: &random) == 0 ? 0.01 : 0
        self.hasOriginal = Int.random(in: 0...3, using: &random) == 0
        self.isNearLimits = Int.random(in: 0...4, using: &random) == 0
        // Some are too short for the longest faults: then there are gaps.
        self.isForgetful = Int.random(in: 0...7, using: &random) == 0
        self.delivery.historyTime = .milliseconds(self.isForgetful ? 1_500 : 8_000)
        self.delivery.queueTime = .milliseconds(self.isForgetful ? 1_000 : 4_000)
        self.delivery.moveEvery = .seconds(2)
        self.delivery.maximumUnproved = 16
        self.delivery.unprovedBytes = 5_000
        if self.isNearLimits {
            self.delivery.historyBytes = 40_000
            self.delivery.holdBytes = 10_000
            self.delivery.queueBytes = 10_000
        }
        if self.redisCount > 1 {
            switch Int.random(in: 0...4, using: &random) {
            case 0, 1: self.addsRedis = true
            case 2: self.removesRedis = true
            default: break
            }
        }
        for number in 0..<self.nodeCount {
            self.subscriptions["n\(number)"] = Self.appChannels.filter { _ in Int.random(in: 0...9, using: &random) < 6
            }
        }
    }

    func channels(of name: String) -> [String] { self.subscriptions[name] ?? [] }

    var description: String {
        """
        \(self.nodeCount) servers, \(self.redisCount) Redis servers\(self.addsRedis ? ", one added" : "")\
        \(self.removesRedis ? ", one removed" : ""), \(self.strategy), output limit \(self.outputLimit)\
        \(self.duplication > 0 ? ", duplicates" : "")\(self.hasOriginal ? ", with an original node" : "")\
        \(self.loss > 0 ? ", losses" : "")\(self.isNearLimits ? ", near the limits" : "")\
        \(self.isForgetful ? ", forgetful" : "")
        """
    }
}

// What happens to the cluster.
extension Simulation {
    enum Fault: CaseIterable {
        case hang, hangAndKill, kill, cutSubscriber, loseSubscriber, cutPublisher, cutNetwork, cutAllNetwork
        case pause, crash, leave, clash, subscribe, resubscribe, burst
        case strangers, candidates, jump, forgedFrame, forgedLeft, forgedHeartbeat
    }

    func scheduleScenario() {
        self.after(2_000_000) { self.traffic() }
        if self.scenario.hasOriginal { self.after(2_000_000) { self.originalTraffic() } }
        let gap: Double = self.pick([500_000, 1_500_000, 4_000_000]) ?? 1_000_000
        var time = Scenario.firstFault
        while time < Scenario.lastFault {
            self.after(time) { self.fault() }
            time += Int64(-Double.random(in: 0.001..<1, using: &self.random).logarithm * gap)
        }
        self.after(Scenario.healed) { self.heal() }
        guard self.scenario.addsRedis || self.scenario.removesRedis else { return }
        for number in 0..<self.scenario.nodeCount {
            let name = "n\(number)"
            self.after(self.random(4_000_000...8_000_000)) {
                self.hasChangedRedis.insert(name)
                guard let redis = self.redis.last else { return }
                for node in self.allNodes where node.name == name && node.isAlive {
                    if self.scenario.addsRedis { node.addLink(redis) } else { node.removeLink(redis) }
                }
                self.note("\(name) \(self.scenario.addsRedis ? "adds" : "removes") redis\(redis.number)")
            }
        }
    }

    func knownRedis(_ name: String) -> [SimulatedRedis] {
        let hasChanged = self.hasChangedRedis.contains(name)
        let isWithoutLast =
            (self.scenario.addsRedis && !hasChanged) || (self.scenario.removesRedis && hasChanged)
        return isWithoutLast ? self.redis.dropLast() : self.redis
    }

    private var senders: [SimulatedNode] {
        self.allNodes.filter { $0.isAlive && $0.isStarted && !$0.isLeaving && !$0.isPaused }
    }

    private func traffic() {
        guard self.now < Scenario.lastMessage else { return }
        if let node = self.pick(self.senders) {
            for _ in 0..<(self.pick([1, 1, 1, 8]) ?? 1) { self.sendSomething(node) }
        }
        let pause =
            self.chance(0.01)
            ? self.random(300_000...4_000_000)
            : Int64(-Double.random(in: 0.001..<1, using: &self.random).logarithm * 40_000)
        self.after(pause) { self.traffic() }
    }

    private func sendSomething(_ node: SimulatedNode) {
        let members = node.membership.members(now: node.now)
        if self.chance(0.3), let member = self.pick(members), let incarnation = UInt64(member.incarnation, radix: 36) {
            node.send("csbp:node:\(member.name):\(member.incarnation)", audience: incarnation)
        } else if self.chance(0.1) {
            node.sendOnce(self.pick(Scenario.appChannels) ?? "")
        } else {
            node.send(self.pick(self.chance(0.5) ? Scenario.appChannels : Array(Scenario.appChannels.prefix(2))) ?? "")
        }
    }

    /// A node of the original publishes without numbers on any Redis server.
    private func originalTraffic() {
        guard self.now < Scenario.lastMessage else { return }
        if let redis = self.pick(self.redis), redis.isUp, !redis.isHung, let channel = self.pick(Scenario.appChannels) {
            var message = ByteBuffer()
            message.writeMultipleIntegers(UInt8(0x81), UInt8(0xa1), UInt8(ascii: "o"), UInt8(0xcf), UInt64(0))
            redis.publish(.bytes(message), to: channel)
        }
        self.after(self.random(10_000...200_000)) { self.originalTraffic() }
    }

    private func fault() {
        guard let fault = self.pick(Fault.allCases), let redis = self.pick(self.redis),
            let node = self.pick(self.nodes.keys.sorted()).flatMap({ self.nodes[$0] })
        else { return }
        self.note("\(fault) redis\(redis.number) \(node.name)")
        switch fault {
        case .hang, .hangAndKill, .kill: self.redisFault(fault, redis)
        case .cutSubscriber, .loseSubscriber, .cutPublisher, .cutNetwork, .cutAllNetwork:
            self.networkFault(fault, redis, node)
        case .pause, .crash, .leave, .clash, .subscribe, .resubscribe, .burst: self.nodeFault(fault, node)
        case .strangers, .candidates, .jump, .forgedFrame, .forgedLeft, .forgedHeartbeat: self.forge(fault, redis, node)
        }
    }

    private func redisFault(_ fault: Fault, _ redis: SimulatedRedis) {
        guard redis.isUp else { return }
        if fault == .kill {
            redis.kill()
            return self.after(self.pick([50_000, 1_000_000, 3_500_000]) ?? 0) { redis.isUp = true }
        }
        guard !redis.isHung else { return }
        redis.isHung = true
        self.after(self.random(1...15) * (self.pick([10_000, 50_000, 200_000, 500_000]) ?? 0)) {
            if fault == .hang { return redis.resume() }
            redis.kill()
            self.after(500_000) { redis.isUp = true }
        }
    }

    private func networkFault(_ fault: Fault, _ redis: SimulatedRedis, _ node: SimulatedNode) {
        if fault == .cutNetwork || fault == .cutAllNetwork {
            for redis in fault == .cutAllNetwork ? self.redis : [redis] {
                self.cut.insert("\(node.name)/\(redis.number)")
                self.after(self.random(5...15) * (self.pick([30_000, 150_000, 450_000]) ?? 0)) {
                    self.mend(node.name, redis)
                }
            }
            return
        }
        guard let link = node.links.first(where: { $0.redis === redis }),
            let connection = fault == .cutPublisher ? link.publisher : link.subscriber, connection.isOpenThere
        else { return }
        redis.drop(connection)
        if fault != .loseSubscriber { connection.reply(.end) }
    }

    private func nodeFault(_ fault: Fault, _ node: SimulatedNode) {
        guard node.isAlive, node.isStarted, !node.isLeaving, !node.isPaused else { return }
        switch fault {
        case .pause:
            node.isPaused = true
            self.after(self.random(1...15) * (self.pick([20_000, 60_000]) ?? 0)) { self.resume(node) }
        case .crash:
            node.die()
            self.after(self.pick([100_000, 1_500_000, 4_500_000]) ?? 0) { self.restart(node.name) }
        case .leave:
            node.leave()
            self.after(2_600_000 + (self.pick([100_000, 1_500_000]) ?? 0)) { self.restart(node.name) }
        case .clash:
            let other = SimulatedNode(self, name: node.name)
            self.allNodes.append(other)
            other.start()
        case .subscribe, .resubscribe:
            guard let channel = self.pick(Scenario.appChannels) else { return }
            if fault == .resubscribe { node.unsubscribe(channel) }
            node.subscribe(channel)
        case .burst:
            for _ in 0..<self.random(50...400) { self.sendSomething(node) }
        default: break
        }
    }

    private func restart(_ name: String) {
        guard !self.allNodes.contains(where: { $0.name == name && $0.isAlive }) else { return }
        self.start(name)
    }

    private func resume(_ node: SimulatedNode) {
        node.isPaused = false
        for redis in self.redis {
            for connection in redis.connections where connection.node === node { connection.resume() }
        }
        for link in node.links {
            link.publisher?.resume()
            link.subscriber?.resume()
        }
    }

    private func mend(_ name: String, _ redis: SimulatedRedis) {
        self.cut.remove("\(name)/\(redis.number)")
        for node in self.allNodes where node.name == name {
            for link in node.links where link.redis === redis {
                link.publisher?.resume()
                link.subscriber?.resume()
            }
        }
        for connection in redis.connections where connection.node.name == name { connection.resume() }
    }

    private func heal() {
        self.note("healed")
        for redis in self.redis {
            redis.resume()
            redis.isUp = true
            for name in self.nodes.keys.sorted() { self.mend(name, redis) }
        }
        for node in self.allNodes where node.isPaused { self.resume(node) }
    }

    /// A server has found its name taken.
    func refused(_ node: SimulatedNode, by other: String) {
        defer { node.die() }
        guard let winner = self.allNodes.first(where: { String($0.incarnation, radix: 36) == other }) else {
            return self.journal.contradict("\(node.name) is refused by nobody")
        }
        if winner.bornAt > node.bornAt + 40_000 {
            self.journal.contradict("\(node.name) is refused by a younger life")
        }
        if let diedAt = winner.diedAt, self.now - diedAt > 1_100_000 {
            self.journal.contradict("\(node.name) is refused by a dead life")
        }
        if self.nodes[node.name] === node { self.nodes[node.name] = winner }
    }
}

extension Double {
    /// The natural one, without Foundation; exact enough to draw waiting times.
    fileprivate var logarithm: Double {
        var value = self
        var halvings = 0.0
        while value < 0.5 {
            value *= 2
            halvings += 1
        }
        let ratio = (value - 1) / (value + 1)
        let square = ratio * ratio
        let series = 1 + square / 3 + square * square / 5 + square * square * square / 7
        return 2 * ratio * series - halvings * 0.693_147_180_56
    }
}
