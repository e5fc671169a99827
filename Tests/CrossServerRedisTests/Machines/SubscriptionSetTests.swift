import Testing

@testable import CrossServerRedis

@Suite struct SubscriptionSetTests {
    private static func connected(wanting channels: [String] = [], batchSize: Int = 3) -> SubscriptionSet {
        var set = SubscriptionSet(batchSize: batchSize)
        for channel in channels { set.want(channel) }
        set.connected()
        return set
    }

    private static func sorted(_ commands: [SubscriptionSet.Command]) -> [String] {
        commands.flatMap { command in
            switch command {
            case .subscribe(let channels): channels.map { "+\($0)" }
            case .unsubscribe(let channels): channels.map { "-\($0)" }
            case .ping: ["ping"]
            }
        }.sorted()
    }

    /// Carries out what a server would, and returns what is subscribed in the end.
    private static func answer(
        _ commands: [SubscriptionSet.Command],
        to set: inout SubscriptionSet,
        subscribed: inout Set<String>
    ) throws {
        for command in commands {
            switch command {
            case .subscribe(let channels):
                for channel in channels {
                    subscribed.insert(channel)
                    _ = try set.answered(channel, isSubscribe: true)
                }
            case .unsubscribe(let channels):
                for channel in channels {
                    subscribed.remove(channel)
                    _ = try set.answered(channel, isSubscribe: false)
                }
            case .ping: _ = try set.pong()
            }
        }
    }

    @Test func whatIsWantedIsSubscribedInBatchesAndThenComplete() throws {
        var set = Self.connected(wanting: (0..<7).map { "c\($0)" })
        #expect(!set.isComplete)
        let commands = set.nextCommands()
        #expect(commands.count == 3)
        #expect(Self.sorted(commands) == (0..<7).map { "+c\($0)" })
        #expect(set.nextCommands() == [])
        var subscribed: Set<String> = []
        for (index, command) in commands.enumerated() {
            #expect(!set.isComplete)
            try Self.answer([command], to: &set, subscribed: &subscribed)
            #expect(set.isComplete == (index == 2))
        }
        #expect(subscribed.count == 7)
        #expect(set.isConfirmed("c6"))
    }

    @Test func withoutChannelsAConnectionIsCompleteAtOnce() {
        #expect(Self.connected().isComplete)
        #expect(!SubscriptionSet(batchSize: 1).isComplete)
    }

    @Test func channelsThatComeLaterDoNotMakeItIncomplete() {
        var set = Self.connected()
        set.want("a")
        #expect(set.isComplete)
        #expect(set.nextCommands() == [.subscribe(["a"])])
        #expect(set.isComplete)
        #expect(!set.isConfirmed("a"))
    }

    @Test func leavingAChannelThatIsStillAskedForCompletes() throws {
        var set = Self.connected(wanting: ["a"])
        _ = set.nextCommands()
        set.release("a")
        #expect(set.isComplete)
    }

    @Test func leavingAndJoiningInOneTurnSaysNothing() throws {
        var set = Self.connected(wanting: ["a"])
        var subscribed: Set<String> = []
        try Self.answer(set.nextCommands(), to: &set, subscribed: &subscribed)
        set.release("a")
        set.want("a")
        #expect(set.nextCommands() == [])
        #expect(set.isConfirmed("a"))
        set.want("b")
        set.release("b")
        #expect(set.nextCommands() == [])
    }

    @Test func leavingAndJoiningBeforeTheAnswersEndsAsWanted() throws {
        var set = Self.connected(wanting: ["a"])
        var subscribed: Set<String> = []
        var commands = set.nextCommands()
        set.release("a")
        commands += set.nextCommands()
        set.want("a")
        commands += set.nextCommands()
        #expect(commands == [.subscribe(["a"]), .unsubscribe(["a"]), .subscribe(["a"])])
        #expect(try set.answered("a", isSubscribe: true) == .none)
        #expect(!set.isConfirmed("a"))
        #expect(try set.answered("a", isSubscribe: false) == .none)
        #expect(try set.answered("a", isSubscribe: true) == .confirmed("a"))
        try Self.answer([], to: &set, subscribed: &subscribed)
        #expect(set.isConfirmed("a"))
    }

    /// Any order of changes, flushes, answers and lost connections.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func anyOrderOfEventsEndsAsWanted(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        var set = SubscriptionSet(batchSize: 2)
        var wanted: Set<String> = []
        var subscribed: Set<String> = []
        var waiting: [SubscriptionSet.Command] = []
        set.connected()
        for _ in 0..<400 {
            let channel = "c\(Int.random(in: 0..<5, using: &random))"
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<6:
                set.want(channel)
                wanted.insert(channel)
            case 6..<12:
                set.release(channel)
                wanted.remove(channel)
            case 12..<15:
                waiting += set.nextCommands()
            case 15..<18 where !waiting.isEmpty:
                try Self.answer([waiting.removeFirst()], to: &set, subscribed: &subscribed)
            case 18:
                set.pingSent()
                waiting.append(.ping)
            case 19:
                set.disconnected()
                waiting = []
                subscribed = []
                set.connected()
            default: break
            }
        }
        waiting += set.nextCommands()
        // PING has its place among the others.
        try Self.answer(waiting, to: &set, subscribed: &subscribed)
        #expect(subscribed == wanted)
        #expect(set.isComplete)
        for channel in ["c0", "c1", "c2", "c3", "c4"] {
            #expect(set.isConfirmed(channel) == wanted.contains(channel))
        }
    }

    @Test func aRefusedBatchIsAskedForOneByOne() throws {
        var set = Self.connected(wanting: ["a", "b", "c"])
        guard case .subscribe(let batch) = set.nextCommands().first else {
            Issue.record("no command")
            return
        }
        #expect(batch.count == 3)
        #expect(try set.refused("NOPERM x") == [])
        #expect(!set.isComplete)
        let singles = set.nextCommands()
        #expect(singles.count == 3)
        for command in singles {
            guard case .subscribe(let channels) = command, channels.count == 1 else {
                Issue.record("\(command)")
                return
            }
            if channels == ["b"] {
                #expect(
                    try set.refused("NOPERM b") == [.refused("b", wasSubscribing: true, message: "NOPERM b")]
                )
            } else {
                #expect(try set.answered(channels[0], isSubscribe: true) == .confirmed(channels[0]))
            }
        }
        #expect(set.isComplete)
        #expect(set.refusal(of: "b") == "NOPERM b")
        #expect(!set.isConfirmed("b"))
        #expect(set.nextCommands() == [])
        // Asked for again, and refused in the same words: that is no news.
        set.retryRefused()
        #expect(set.nextCommands() == [.subscribe(["b"])])
        #expect(try set.refused("NOPERM b") == [])
        set.retryRefused()
        #expect(set.nextCommands() == [.subscribe(["b"])])
        #expect(try set.answered("b", isSubscribe: true) == .confirmed("b"))
        #expect(set.refusal(of: "b") == nil)
    }

    @Test func aChannelThatIsRefusedAndLeftIsForgotten() throws {
        var set = Self.connected(wanting: ["a"])
        _ = set.nextCommands()
        _ = try set.refused("NOPERM")
        set.release("a")
        set.retryRefused()
        #expect(set.nextCommands() == [])
        #expect(set.refusal(of: "a") == nil)
        set.want("a")
        #expect(set.nextCommands() == [.subscribe(["a"])])
    }

    @Test func answersThatFitNoCommandAreNotTaken() throws {
        var set = Self.connected(wanting: ["a"])
        #expect(throws: RedisFailure.self) { try set.answered("a", isSubscribe: true) }
        _ = set.nextCommands()
        #expect(throws: RedisFailure.self) { try set.answered("a", isSubscribe: false) }
        #expect(throws: RedisFailure.self) { try set.answered("b", isSubscribe: true) }
        #expect(throws: RedisFailure.self) { try set.pong() }
        var empty = Self.connected()
        #expect(throws: RedisFailure.self) { try empty.refused("ERR") }
    }

    @Test func pingsKeepTheirPlaceAmongTheAnswers() throws {
        var set = Self.connected(wanting: ["a"])
        set.pingSent()
        _ = set.nextCommands()
        #expect(try set.pong() == .pong)
        #expect(try set.answered("a", isSubscribe: true) == .confirmed("a"))
        set.pingSent()
        #expect(try set.refused("NOPERM ping") == [.pong])
        set.pingSent()
        #expect(throws: RedisFailure.self) { try set.refused("MASTERDOWN stale") }
    }
}

struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
