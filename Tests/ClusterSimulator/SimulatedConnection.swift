import CrossServerBus
import NIOCore

/// What travels through Redis.
enum Packet {
    case bytes(ByteBuffer)
    case announcement(Announcement)
}

/// One connection of a server to a Redis server: in order in both directions, until it ends.
final class Connection {
    enum ToRedis {
        case subscribe(String)
        case unsubscribe(String)
        case publish(Int, String, Packet)
        /// Who hears the inbox of a life? With the time by the clock of the server that asks.
        case count(String, inbox: String, askedAt: NIODeadline)
        case end
    }

    enum ToNode {
        case subscribed(String)
        case message(String, Packet)
        case published(Int)
        case counted(String, Int, askedAt: NIODeadline)
        case end
    }

    enum Kind { case publisher, subscriber }

    let simulation: Simulation
    let node: SimulatedNode
    let link: SimulatedLink
    let kind: Kind
    let life: Int
    var isOpenHere = true
    var isOpenThere = true
    /// What Redis has subscribed for it, and when.
    var subscribedAt: [String: Int64] = [:]
    private var lastToRedis: Int64 = 0
    private var lastToNode: Int64 = 0
    /// What is on its way while the network is cut or the server does not read.
    private var stalledToRedis: [ToRedis] = []
    private var stalledToNode: [ToNode] = []

    init(_ node: SimulatedNode, _ link: SimulatedLink, _ kind: Kind) {
        self.simulation = node.simulation
        self.node = node
        self.link = link
        self.kind = kind
        self.life = link.redis.life
        link.redis.connections.append(self)
    }

    func send(_ item: ToRedis) {
        self.lastToRedis = max(self.lastToRedis, self.simulation.now + self.simulation.latency())
        self.simulation.after(self.lastToRedis - self.simulation.now) { self.arrivedAtRedis(item) }
    }

    private func arrivedAtRedis(_ item: ToRedis) {
        let redis = self.link.redis
        guard self.simulation.isConnected(self.node.name, redis), self.stalledToRedis.isEmpty else {
            return self.stalledToRedis.append(item)
        }
        guard redis.isUp, self.isOpenThere, self.life == redis.life else { return }
        if redis.isHung { redis.pending.append((self, item)) } else { redis.process(self, item) }
    }

    func reply(_ item: ToNode) {
        self.lastToNode = max(self.lastToNode, self.simulation.now + self.simulation.latency())
        self.simulation.after(self.lastToNode - self.simulation.now) { self.arrivedAtNode(item) }
    }

    private func arrivedAtNode(_ item: ToNode) {
        let canRead = self.simulation.isConnected(self.node.name, self.link.redis) && !self.node.isPaused
        guard canRead, self.stalledToNode.isEmpty else {
            self.stalledToNode.append(item)
            // Redis cuts a subscriber that does not read; what waits for it is lost.
            if self.stalledToNode.count > self.simulation.scenario.outputLimit, self.isOpenThere {
                self.link.redis.drop(self)
                self.stalledToNode = [.end]
            }
            return
        }
        guard self.isOpenHere, self.node.isAlive else { return }
        self.node.received(item, on: self)
    }

    /// The network is whole again, or the server reads again.
    func resume() {
        let toRedis = self.stalledToRedis
        let toNode = self.stalledToNode
        self.stalledToRedis = []
        self.stalledToNode = []
        // What a dead process had written is still pushed by the kernel, perhaps.
        for item in toRedis where self.isOpenHere || self.simulation.chance(0.5) { self.arrivedAtRedis(item) }
        for item in toNode { self.arrivedAtNode(item) }
    }

    /// By the server. What was written before is still read by Redis.
    func close() {
        guard self.isOpenHere else { return }
        self.isOpenHere = false
        self.send(.end)
    }
}
