import CrossServerRESP
import NIOCore
import Testing

@testable import CrossServerRedis

@Suite struct PublishPipelineTests {
    private static let now = NIODeadline.uptimeNanoseconds(1_000)

    private static func slot(_ bytes: Int) -> PublishSlot { PublishSlot(outcome: .nobody, bytes: bytes) }

    @Test func repliesAreMatchedInOrder() throws {
        var pipeline = PublishPipeline()
        #expect(pipeline.oldest == nil)
        pipeline.sent([Self.slot(1), Self.slot(2)], at: Self.now)
        pipeline.probeSent(at: Self.now + .seconds(1))
        pipeline.sent([Self.slot(3)], at: Self.now + .seconds(2))
        #expect(pipeline.oldest == Self.now)
        let first = try pipeline.received(.integer(4))
        #expect(first.0.bytes == 1)
        #expect(first.1 == .publication(receivers: 4))
        let second = try pipeline.received(.simpleError("NOPERM"))
        #expect(second.0.bytes == 2)
        #expect(second.1 == .refused("NOPERM"))
        // A probe has a deadline of its own.
        #expect(pipeline.oldest == Self.now + .seconds(2))
        #expect(try pipeline.received(.simpleString("PONG")).1 == .probe)
        #expect(try pipeline.received(.integer(0)).1 == .publication(receivers: 0))
        #expect(pipeline.oldest == nil)
        #expect(throws: RedisFailure.self) { try pipeline.received(.integer(1)) }
    }

    @Test(arguments: [("NOPERM no ping", true), ("LOADING data", false), ("MASTERDOWN stale", false)])
    func aProbeAnsweredWithAnError(message: String, lives: Bool) {
        var pipeline = PublishPipeline()
        pipeline.probeSent(at: Self.now)
        let answer = try? pipeline.received(.simpleError(message)).1  // nil is what is looked at
        #expect(answer == (lives ? .probe : nil))
    }

    @Test func whatIsUnansweredIsGivenBack() throws {
        var pipeline = PublishPipeline()
        pipeline.sent([], at: Self.now)
        #expect(pipeline.oldest == nil)
        pipeline.sent((1...5).map(Self.slot), at: Self.now)
        _ = try pipeline.received(.integer(1))
        #expect(throws: RedisFailure.self) { try pipeline.received(.simpleString("OK")) }
        #expect(pipeline.removeAll().map(\.bytes) == [2, 3, 4, 5])
        #expect(pipeline.removeAll().isEmpty)
        #expect(pipeline.oldest == nil)
    }
}

@Suite struct OutboxTests {
    private static let message = ByteBuffer(repeating: 0x78, count: 1_000)

    @Test func isClosedAtFirst() {
        let outbox = Outbox(maximumBytes: 10_000)
        guard case .closed = outbox.append(Self.message, to: "c", outcome: .nobody) else {
            Issue.record("a closed outbox took a message")
            return
        }
        #expect(outbox.take(hasReplies: false) == nil)
    }

    @Test func takesUpToItsBoundAndGivesAllAtOnce() throws {
        let outbox = Outbox(maximumBytes: 10_000)
        outbox.open()
        guard case .isDue = outbox.append(Self.message, to: "c", outcome: .nobody) else {
            Issue.record("the event loop is not told")
            return
        }
        var taken = 1
        while case .appended = outbox.append(Self.message, to: "c", outcome: .nobody) { taken += 1 }
        #expect(taken == 9)
        let batch = try #require(outbox.take(hasReplies: false))
        #expect(batch.slots.count == 9)
        #expect(outbox.take(hasReplies: false) == nil)
        var expected = ByteBuffer()
        for _ in 0..<9 { expected.writePublish(channel: "c", message: Self.message) }
        #expect(batch.bytes == expected)
        #expect(outbox.bytesInFlight > 9_000)
        guard case .full = outbox.append(Self.message, to: "c", outcome: .nobody) else {
            Issue.record("what was taken is still in flight")
            return
        }
        outbox.release(batch.slots.reduce(0) { $0 + $1.bytes })
        #expect(outbox.bytesInFlight == 0)
        // One that is longer than the bound goes alone.
        guard case .isDue = outbox.append(ByteBuffer(repeating: 0, count: 20_000), to: "c", outcome: .nobody)
        else {
            Issue.record("a long message alone was refused")
            return
        }
        guard case .full = outbox.append(Self.message, to: "c", outcome: .nobody) else {
            Issue.record("a message beside a long one was taken")
            return
        }
        #expect(outbox.close().count == 1)
        #expect(outbox.bytesInFlight == 0)
        #expect(outbox.take(hasReplies: false) == nil)
    }
}

@Suite struct OutboxCollectingTests {
    private let outbox = Outbox(maximumBytes: 1_000_000)

    private func append(_ length: Int = 10) -> Bool {
        let outcome = self.outbox.append(ByteBuffer(repeating: 0, count: length), to: "c", outcome: .nobody)
        if case .isDue = outcome { return true }
        return false
    }

    @Test func whileRepliesAreOwedMoreIsCollected() {
        self.outbox.open()
        #expect(self.append())
        #expect(!self.append(), "the event loop was told")
        #expect(self.outbox.take(hasReplies: false)?.slots.count == 2)
        #expect(!self.append(), "those two have no replies yet")
        #expect(self.outbox.take(hasReplies: true)?.slots.count == 1)
        #expect(self.outbox.take(hasReplies: true) == nil)
        #expect(!self.append())
        #expect(self.outbox.take(hasReplies: false)?.slots.count == 1)
        #expect(self.outbox.take(hasReplies: false) == nil)
        #expect(self.append(), "nothing is owed")
    }

    @Test func muchDoesNotWait() {
        self.outbox.open()
        #expect(self.append())
        #expect((0..<200).map { _ in self.append() }.enumerated().filter(\.element).map(\.offset) == [62])
        _ = self.outbox.take(hasReplies: true)
        #expect(!self.append(8_000))
        #expect(!self.append(8_000))
        #expect(self.append(8_000))
        #expect(!self.append(8_000))
        _ = self.outbox.close()
        self.outbox.open()
        #expect(self.append(), "of a new connection")
    }
}

@Suite struct LinkSelectionTests {
    private static func selection(_ strategy: SelectionStrategy, _ count: Int) -> LinkSelection<String> {
        var selection = LinkSelection<String>(strategy: strategy, seed: 7)
        for number in 0..<count { selection.insert("link \(number)", number: number) }
        return selection
    }

    @Test(arguments: [SelectionStrategy.random, .roundRobin, .fastest])
    func noneAndOne(strategy: SelectionStrategy) {
        var none = Self.selection(strategy, 0)
        #expect(none.next() == nil)
        var one = Self.selection(strategy, 1)
        #expect((0..<5).map { _ in one.next() } == Array(repeating: "link 0", count: 5))
        one.remove(number: 0)
        #expect(one.next() == nil)
    }

    @Test func roundRobinTakesEachInTurn() {
        var selection = Self.selection(.roundRobin, 3)
        let turns = (0..<6).compactMap { _ in selection.next() }
        #expect(turns[..<3].sorted() == ["link 0", "link 1", "link 2"])
        #expect(turns[..<3] == turns[3...])
        selection.remove(number: 2)
        #expect(Set((0..<2).compactMap { _ in selection.next() }) == ["link 0", "link 1"])
    }

    @Test func thePreferredIsTakenWhileItIsThere() {
        var selection = Self.selection(.roundRobin, 3)
        for number in [2, 2, 0] { #expect(selection.next(preferring: number) == "link \(number)") }
        selection.remove(number: 2)
        #expect(Set((0..<2).compactMap { _ in selection.next(preferring: 2) }) == ["link 0", "link 1"])
    }

    @Test func randomTakesAllEvenly() {
        var selection = Self.selection(.random, 3)
        var counts: [String: Int] = [:]
        for _ in 0..<3_000 { counts[selection.next() ?? "", default: 0] += 1 }
        #expect(counts.count == 3)
        #expect(counts.values.allSatisfy { 850...1_150 ~= $0 })
    }

    @Test func fastestTakesTheOneThatAnswersQuickly() {
        var selection = Self.selection(.fastest, 3)
        selection.measured(.milliseconds(3), number: 0)
        selection.measured(.milliseconds(1), number: 2)
        selection.measured(.milliseconds(1), number: 9)
        #expect(selection.next() == "link 2")
        selection.measured(.milliseconds(2), number: 1)
        selection.measured(.milliseconds(9), number: 2)
        #expect(selection.next() == "link 1")
        selection.remove(number: 1)
        #expect(selection.next() == "link 0")
        // One that comes back is not taken before it was measured.
        selection.insert("link 1", number: 1)
        #expect(selection.next() == "link 0")
    }

    @Test(arguments: ["random", "round-robin", "fastest", "Random", ""])
    func names(name: String) {
        #expect(
            SelectionStrategy(name)?.description == (["random", "round-robin", "fastest"].contains(name) ? name : nil)
        )
    }
}

@Suite struct ProbeTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func isDueAfterItsDeadlineUnlessSomethingIsHeard() {
        var probe = Probe(deadline: .seconds(2))
        #expect(probe.due == nil)
        probe.heard(at: Self.start - .milliseconds(1))
        probe.sent(at: Self.start)
        #expect(probe.isWaiting)
        #expect(probe.due == Self.start + .seconds(2))
        probe.heard(at: Self.start + .seconds(1))
        #expect(probe.due == Self.start + .seconds(3))
        probe.answered(at: Self.start + .seconds(1))
        #expect(probe.due == nil)
        #expect(!probe.isWaiting)
    }

    @Test func latencyIsSmoothed() {
        var probe = Probe(deadline: .seconds(2))
        probe.answered(at: Self.start)
        #expect(probe.latency == nil)
        probe.sent(at: Self.start)
        probe.answered(at: Self.start + .milliseconds(4))
        #expect(probe.latency == .milliseconds(4))
        probe.sent(at: Self.start)
        probe.answered(at: Self.start + .milliseconds(8))
        #expect(probe.latency == .milliseconds(5))
    }
}

@Suite struct MemberListTests {
    private static func address(_ port: Int) -> RedisAddress { .tcp(host: "h", port: port) }

    @Test func goesOnWhenAMemberFailsAndKeepsTheSeeds() {
        var list = MemberList(seeds: [Self.address(1), Self.address(2)])
        #expect(list.current == Self.address(1))
        list.failed(Self.address(2))
        #expect(list.current == Self.address(1))
        list.learned([Self.address(3), Self.address(1), Self.address(3)])
        #expect(list.current == Self.address(1))
        var seen: [RedisAddress] = []
        for _ in 0..<4 {
            seen.append(list.current)
            list.failed(list.current)
        }
        #expect(seen == [1, 2, 3, 1].map(Self.address))
        list.failed(Self.address(2))
        #expect(list.current == Self.address(3))
        // Gone from the cluster while it was the current one.
        list.learned([Self.address(4)])
        #expect(list.current == Self.address(1))
    }
}

@Suite struct ChannelNamesTests {
    @Test func findsTheNameByItsBytes() {
        var names = ChannelNames()
        names.insert("a")
        names.insert("ü")
        #expect(names.name(of: ByteBuffer(string: "a")) == "a")
        #expect(names.name(of: ByteBuffer(string: "a")) == "a")
        #expect(names.name(of: ByteBuffer(string: "ü")) == "ü")
        #expect(names.name(of: ByteBuffer(string: "b")) == nil)
        names.remove("ü")
        #expect(names.name(of: ByteBuffer(string: "ü")) == nil)
        #expect(names.name(of: ByteBuffer(string: "a")) == "a")
    }
}
