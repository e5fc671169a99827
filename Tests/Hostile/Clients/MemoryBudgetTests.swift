import CrossServerWire
import NIOCore
import Testing

@testable import CrossServerWebSocket
@testable import CrossServerWebSocketTests

@Suite struct MemoryBudgetTests {
    private let budget = MemoryBudget(limit: 1_000_000)

    private func connection(deflate: NegotiatedDeflate? = nil) throws -> TestConnection {
        try TestConnection.added(deflate: deflate) { [budget] in $0.memory = budget }
    }

    @Test func anUnfinishedMessage() throws {
        let connection = try self.connection()
        try connection.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 100_000), isFinal: false))
        #expect(self.budget.bytes(of: .received) >= 100_000)
        try connection.receive(FrameBytes.frame(0x0, [1]))
        #expect(connection.delegate.messages.count == 1)
        #expect(self.budget.used == 0)
    }

    @Test func smallAmountsAreToldNowAndThen() throws {
        let connection = try self.connection()
        try connection.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 1_000), isFinal: false))
        #expect(self.budget.used == 0)
        connection.handler.updateAccount(exactly: true)
        #expect(self.budget.bytes(of: .received) >= 1_000)
        #expect(connection.handler.heldBytes == self.budget.used)
    }

    @Test func whatWaitsToBeSent() throws {
        let connection = try self.connection()
        connection.block()
        _ = connection.handler.send(.init(text: String(repeating: "x", count: 100_000)))
        connection.turn()
        #expect(self.budget.bytes(of: .sending) >= 100_000)
        connection.unblock()
        connection.handler.updateAccount(exactly: true)
        #expect(self.budget.bytes(of: .sending) == 0)
    }

    @Test func whatHandlersHaveNotSeen() throws {
        let connection = try self.connection()
        connection.delegate.webSocketQueuedBytes = 50_000
        try connection.receive(FrameBytes.text("a"))
        #expect(self.budget.bytes(of: .queued) == 50_000)
    }

    @Test func compressionContexts() throws {
        let connection = try self.connection(deflate: .init())
        _ = connection.handler.send(.init(text: String(repeating: "x", count: 100)))
        connection.turn()
        #expect(self.budget.bytes(of: .compression) == 262_144)
    }

    @Test func theEndGivesEverythingBack() throws {
        let connection = try self.connection(deflate: .init())
        try connection.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 100_000), isFinal: false))
        _ = connection.handler.send(.init(text: String(repeating: "x", count: 100)))
        connection.turn()
        #expect(self.budget.used > 300_000)
        connection.handler.terminate()
        connection.turn()
        #expect(self.budget.used == 0)
    }

    @Test func whoGrowsBeyondTheBudgetSaysSo() throws {
        let first = try self.connection()
        let second = try self.connection()
        try first.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 600_000), isFinal: false))
        try second.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 1_000), isFinal: false))
        #expect(first.delegate.excesses + second.delegate.excesses == (self.budget.isExceeded ? 1 : 0))
        try second.receive(FrameBytes.frame(0x0, [UInt8](repeating: 7, count: 600_000), isFinal: false))
        #expect(self.budget.isExceeded)
        #expect(second.delegate.excesses == 1)
    }

    @Test func sheddingGivesBackAtOnceAndCloses() throws {
        let connection = try self.connection(deflate: .init())
        connection.block()
        _ = connection.handler.send(.init(text: String(repeating: "x", count: 100_000)))
        try connection.receive(FrameBytes.frame(0x2, [UInt8](repeating: 7, count: 100_000), isFinal: false))
        connection.handler.shed(code: .tryAgainLater, reason: "full")
        #expect(self.budget.used == 0)
        #expect(connection.handler.inputBytes == 0 && connection.handler.queue.isEmpty)
        connection.unblock()
        #expect(try connection.takeOutput().last == .close(1013, "full"))
        try connection.receive(FrameBytes.text("ignored"))
        connection.receiveEnd()
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.map(\.code) == [.tryAgainLater])
        #expect(self.budget.used == 0)
    }
}
