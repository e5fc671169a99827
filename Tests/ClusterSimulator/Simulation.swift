import CrossServerBus
import HeapModule
import NIOCore

/// A cluster of servers and Redis servers in one thread, with a clock of its own and a network that fails at random.
///
/// The same seed gives the same run. The servers are made of the real ``Membership``, ``DeliverySender`` and
/// ``DeliveryReceiver``; what is simulated is the network, Redis, and who uses the servers.
package final class Simulation {
    struct Event: Comparable {
        var time: Int64
        var number: Int
        var body: () -> Void

        static func < (left: Event, right: Event) -> Bool { (left.time, left.number) < (right.time, right.number) }
        static func == (left: Event, right: Event) -> Bool { left.number == right.number }
    }

    /// Microseconds.
    var now: Int64 = 0
    var random: SeededGenerator
    var scenario: Scenario
    let journal = Journal()
    private var events = Heap<Event>()
    private var eventNumber = 0

    var redis: [SimulatedRedis] = []
    /// The running one of each name.
    var nodes: [String: SimulatedNode] = [:]
    var allNodes: [SimulatedNode] = []
    /// Pairs of a server's name and a Redis server that cannot reach each other.
    var cut: Set<String> = []
    /// Servers that have added or removed the last Redis server.
    var hasChangedRedis: Set<String> = []
    var log: [String] = []

    package init(seed: UInt64) {
        self.random = SeededGenerator(seed: seed)
        self.scenario = Scenario(&self.random)
        for number in 0..<self.scenario.redisCount { self.redis.append(SimulatedRedis(self, number)) }
        for number in 0..<self.scenario.nodeCount {
            self.after(.random(in: 0...300_000, using: &self.random)) { self.start("n\(number)") }
        }
        self.scheduleScenario()
    }

    /// Runs to the end.
    ///
    /// - Returns: what contradicts the delivery rules, in words; empty when all is well.
    package func run() -> [String] {
        while let event = self.events.popMin(), event.time <= Scenario.end {
            self.now = event.time
            event.body()
        }
        return self.check()
    }

    package var summary: Summary { self.journal.summary }
    package var description: String { self.scenario.description }
    package var faults: [String] { self.log }

    func after(_ delay: Int64, _ body: @escaping () -> Void) {
        self.eventNumber += 1
        self.events.insert(Event(time: self.now + max(delay, 0), number: self.eventNumber, body: body))
    }

    func latency() -> Int64 {
        self.chance(0.02) ? self.random(1_000...30_000) : self.random(100...1_000)
    }

    func chance(_ probability: Double) -> Bool { Double.random(in: 0..<1, using: &self.random) < probability }

    func random(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &self.random) }

    func pick<Element>(_ elements: [Element]) -> Element? { elements.randomElement(using: &self.random) }

    func isConnected(_ name: String, _ redis: SimulatedRedis) -> Bool { !self.cut.contains("\(name)/\(redis.number)") }

    func note(_ text: String) { self.log.append("\(self.now / 1_000) ms: \(text)") }

    @discardableResult
    func start(_ name: String) -> SimulatedNode {
        let node = SimulatedNode(self, name: name)
        self.nodes[name] = node
        self.allNodes.append(node)
        node.start()
        return node
    }
}

package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        self.state = seed &* 0xD134_2543_DE82_EF95 &+ 1
    }

    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Counts of one or many runs.
package struct Summary: Sendable {
    package var sent = 0
    package var owed = 0
    package var delivered = 0
    package var gaps = 0
    package var refused = 0
    package var replaced = 0
    package var repeats = 0
    package var requests = 0
    package var unpromised = 0
    package var unnumbered = 0
    package var frames = 0
    package var published = 0
    package var once = 0
    package var suspects = 0
    package var deaths = 0
    package var forged = 0

    package init() {}

    package static func += (left: inout Summary, right: Summary) {
        left.sent += right.sent
        left.owed += right.owed
        left.delivered += right.delivered
        left.gaps += right.gaps
        left.refused += right.refused
        left.replaced += right.replaced
        left.repeats += right.repeats
        left.requests += right.requests
        left.unpromised += right.unpromised
        left.unnumbered += right.unnumbered
        left.frames += right.frames
        left.published += right.published
        left.once += right.once
        left.suspects += right.suspects
        left.deaths += right.deaths
        left.forged += right.forged
    }
}
