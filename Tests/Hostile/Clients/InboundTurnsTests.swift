import CrossServerWire
import NIOCore
import NIOEmbedded
import Testing

@testable import CrossServerWebSocket
@testable import CrossServerWebSocketTests

@Suite struct InboundTurnsTests {
    @Test func aTurnIsShared() {
        var turns = InboundTurns<Int>(work: 64)
        #expect(turns.limit() == 64)
        turns.spend(40)
        #expect(turns.limit() == 104)
        turns.append(1)
        #expect(turns.limit() == 72)
        #expect(turns.limit(isNarrow: true) == 40 + InboundTurns<Int>.minimumShare)
        for member in 2...9 { turns.append(member) }
        #expect(turns.limit() == 40 + InboundTurns<Int>.minimumShare)
        turns.spend(24)
        #expect(turns.isOver)
        turns.begin()
        #expect(!turns.isOver)
        var order: [Int] = []
        while let member = turns.popFirst() { order.append(member) }
        #expect(order == Array(1...9))
    }

    /// Two connections of one event loop.
    private struct Pair {
        let eventLoop = EmbeddedEventLoop()
        let backlog = DeliveryBacklog()
        let flooder: TestConnection
        let other: TestConnection

        init(work: Int = 64, deflate: NegotiatedDeflate? = nil) throws {
            let flusher = WebSocketFlusher(eventLoop: self.eventLoop, workPerTurn: work, backlog: self.backlog)
            self.flooder = try TestConnection(deflate: deflate, flusher: flusher)
            self.other = try TestConnection(flusher: flusher)
            try self.flooder.addHandler()
            try self.other.addHandler()
        }

        func endTurn() { self.eventLoop.run() }

        /// Lets so many turns pass.
        func takeTurns(_ count: Int) {
            for _ in 0..<count {
                self.endTurn()
                self.eventLoop.advanceTime(by: .microseconds(20))
            }
            self.endTurn()
        }
    }

    private static func texts(_ count: Int) -> [UInt8] {
        (0..<count).flatMap { FrameBytes.text("\($0)") }
    }

    @Test func whoSendsMuchLetsOthersIn() throws {
        let pair = try Pair()
        try pair.flooder.receive(Self.texts(1_000))
        #expect(pair.flooder.delegate.messages.count == 64)
        // The turn is over.
        try pair.other.receive(FrameBytes.text("first"))
        #expect(pair.other.delegate.messages.isEmpty)
        pair.takeTurns(1)
        #expect(pair.other.delegate.messages == [.text("first")])
        // In another one it comes first.
        try pair.other.receive(FrameBytes.text("second"))
        #expect(pair.other.delegate.messages == [.text("first"), .text("second")])
        #expect(pair.flooder.delegate.messages.count < 200)
        pair.takeTurns(40)
        #expect(pair.flooder.delegate.messages == (0..<1_000).map { .text("\($0)") })
    }

    @Test func nothingMoreIsReadFromWhoIsBehind() throws {
        let pair = try Pair()
        try pair.flooder.receive(Self.texts(100))
        pair.flooder.channel.pipeline.read()
        let before = pair.flooder.socket.readCount
        // What comes nevertheless, as at the end of a stream, waits too.
        try pair.flooder.receive(FrameBytes.text("last"))
        pair.flooder.receiveEnd()
        #expect(!pair.flooder.isClosed)
        pair.takeTurns(4)
        pair.flooder.turn()
        #expect(pair.flooder.socket.readCount == before + 1)
        #expect(pair.flooder.delegate.messages == (0..<100).map { .text("\($0)") } + [.text("last")])
        #expect(try pair.flooder.takeOutput() == [.close(1000, "end of input")])
        #expect(pair.flooder.isClosed)
    }

    @Test func whatIsInflatedCounts() throws {
        let pair = try Pair(deflate: .init())
        let sender = try TestConnection.added(role: .client, deflate: .init())
        for _ in 0..<4 { _ = sender.handler.send(.init(text: String(repeating: "x", count: 16_384))) }
        sender.turn()
        try pair.flooder.receive(try sender.takeBytes())
        #expect(pair.flooder.delegate.messages.count == 1)
        pair.takeTurns(1)
        #expect(pair.flooder.delegate.messages.count == 2)
    }

    @Test func whatIsSentToManyCounts() throws {
        let pair = try Pair()
        pair.flooder.delegate.onMessage = { handler, _ in handler.flusher.spend(40) }
        try pair.flooder.receive(Self.texts(10))
        #expect(pair.flooder.delegate.messages.count == 2)
    }

    @Test func whatIsThrownAwayCounts() throws {
        let pair = try Pair()
        pair.flooder.block()
        let message = EncodedMessage(text: String(repeating: "x", count: 1_000))
        while pair.flooder.handler.isOpen { _ = pair.flooder.handler.send(message) }
        #expect(pair.flooder.flusher.isTurnOver)
    }

    @Test func whatWaitsElsewhereSlowsEveryoneDown() throws {
        let pair = try Pair()
        pair.backlog.add(DeliveryBacklog.maximum + 1)
        try pair.flooder.receive(Self.texts(100))
        #expect(pair.flooder.delegate.messages.isEmpty)
        pair.takeTurns(1)
        #expect(pair.flooder.delegate.messages.isEmpty)
        pair.eventLoop.advanceTime(by: .microseconds(180))
        pair.endTurn()
        #expect(pair.flooder.delegate.messages.count == 16)
        pair.backlog.add(-1)
        pair.eventLoop.advanceTime(by: .microseconds(200))
        #expect(pair.flooder.delegate.messages.count == 80)
    }

    @Test func theConnectionEndsWhileItIsBehind() throws {
        let pair = try Pair()
        try pair.flooder.receive(Self.texts(1_000))
        pair.flooder.channel.close(promise: nil)
        pair.flooder.turn()
        pair.takeTurns(3)
        #expect(pair.flooder.delegate.messages.count == 64)
        #expect(pair.flooder.delegate.closes.map(\.code) == [.abnormalClosure])
    }
}
