import Dispatch
import NIOCore
import Testing

@testable import CrossServerBus

/// Many servers that are started at once on one machine which cannot keep up for a while: each message takes its time, and what
/// comes meanwhile waits.
private struct Start {
    private struct Letter {
        var receiver: Int
        var announcement: Announcement
    }

    private(set) var members: [Membership] = []
    private var index: [String: Int] = [:]
    private var queue: [Letter] = []
    private var next = 0
    /// Microseconds.
    private(set) var now: Int64 = 0
    private(set) var commands = 0
    private let cost: Int64
    private let link = BusLink(number: 0)

    /// - Parameter cost: microseconds that the machine takes for a message at one receiver.
    init(count: Int, cost: Int64) {
        self.cost = cost
        for number in 0..<count {
            let life = "i\(number)"
            self.index[life] = number
            let random = MembershipCluster.Seeded(state: UInt64(number + 1))
            self.members.append(Membership(name: "s\(number)", incarnation: life, random: random, now: self.time))
        }
        for number in 0..<count {
            let status = BusLinkStatus(link: self.link, name: "redis", canPublish: true, canReceive: true)
            self.perform(self.members[number].linkChanged(status, now: self.time))
        }
    }

    private var time: NIODeadline { .uptimeNanoseconds(UInt64(self.now) * 1_000 + 1_000_000_000) }

    private mutating func perform(_ actions: [MembershipAction]) {
        for case .send(let announcement, let destination, _) in actions {
            self.commands += 1
            switch destination {
            case .everyone:
                for receiver in self.members.indices {
                    self.queue.append(Letter(receiver: receiver, announcement: announcement))
                }
            case .inbox(_, let incarnation):
                guard let receiver = self.index[incarnation] else { continue }
                self.queue.append(Letter(receiver: receiver, announcement: announcement))
            }
        }
    }

    mutating func run(until end: Int64) {
        var nextTick = self.now
        while self.now < end {
            if self.now >= nextTick {
                nextTick = self.now + 100_000
                for number in self.members.indices { self.perform(self.members[number].tick(now: self.time)) }
            }
            guard self.next < self.queue.count else {
                self.queue = []
                self.next = 0
                self.now = nextTick
                continue
            }
            let letter = self.queue[self.next]
            self.next += 1
            self.now += self.cost
            self.perform(
                self.members[letter.receiver].received(letter.announcement, over: self.link, now: self.time)
            )
        }
    }

    /// Whether all know each other.
    var isWhole: Bool {
        self.members.allSatisfy {
            $0.current.count == self.members.count - 1 && $0.live.count == self.members.count - 1
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct StartTests {
    private struct Outcome: Sendable {
        var isWhole: Bool
        var seconds: Int
        var commands: Int
        var commandsLater: Int
    }

    /// On a thread of its own, as it computes for seconds.
    private func run(_ count: Int, _ cost: Int64) async -> Outcome {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                var start = Start(count: count, cost: cost)
                var second = 0
                while !start.isWhole, second < 30 {
                    second += 1
                    start.run(until: Int64(second) * 1_000_000)
                }
                let before = start.commands
                start.run(until: start.now + 2_000_000)
                let outcome = Outcome(
                    isWhole: start.isWhole,
                    seconds: second,
                    commands: before,
                    commandsLater: start.commands - before
                )
                continuation.resume(returning: outcome)
            }
        }
    }

    /// Each asks and answers each of the others about once: 2 N² messages, and heartbeats. With 128 servers, the heartbeats
    /// alone take the machine a third or two thirds of its time.
    @Test(arguments: [(16, 50), (48, 100), (128, 20), (128, 40)] as [(Int, Int64)])
    func serversThatStartAtOnceFindEachOther(count: Int, cost: Int64) async {
        let outcome = await self.run(count, cost)
        #expect(outcome.isWhole)
        #expect(outcome.seconds <= 20)
        #expect(outcome.commands < 3 * count * count + 50 * count)
        // From then on they only say that they live.
        #expect(outcome.commandsLater < 12 * count)
    }
}
