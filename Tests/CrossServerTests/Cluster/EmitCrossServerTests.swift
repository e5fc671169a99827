import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// What becomes of an event that some of the servers do not get.
@Suite(.timeLimit(.minutes(2)))
struct EmitCrossServerTests {
    private typealias Journal = CrossServerEventTests.Journal

    @Test func whoDoesNotGetAnEventIsNamedAndTheOthersGetItOnce() async throws {
        let journal = Journal()
        try await Self.withThree(journal) { servers, bus in
            let a = servers[0]
            bus.refuseEvents("csbp:node:c:")
            for names in [["c", "a", "b"], ["b", "c", "a"]] {
                let unreached = try a.emitCrossServer("x", to: .servers(names))
                #expect(unreached.map(\.server) == ["c"])
                #expect(unreached.first?.error.code == .overloaded)
            }
            try await eventually { journal.all.count >= 4 }
            #expect(a.statistics.cluster.messagesNotSent == 2)
            // Whoever waits for the outcome hears of it, when the others have it.
            let error = await #expect(throws: CrossServerError.self) {
                try await a.emitCrossServerConfirmed("x", to: .servers(["b", "c"]))
            }
            #expect(error?.code == .overloaded)
            bus.refuse(nil)
            #expect(try a.emitCrossServer("x", to: .server("c")) == [])
            try await eventually { journal.all.contains("c") }
            #expect(journal.all.sorted() == ["a", "a", "b", "b", "b", "c"])
        }
    }

    @Test func whenNobodyGetsAnEventItIsAnErrorAndNotHandledHereEither() async throws {
        let journal = Journal()
        try await Self.withThree(journal) { servers, bus in
            let a = servers[0]
            bus.refuseEvents("csbp:node:")
            for names in [["c"], ["c", "b"], ["a", "b", "c"]] {
                let error = #expect(throws: CrossServerError.self) { try a.emitCrossServer("x", to: .servers(names)) }
                #expect(error?.code == .overloaded)
                let confirmed = await #expect(throws: CrossServerError.self) {
                    try await a.emitCrossServerConfirmed("x", to: .servers(names))
                }
                #expect(confirmed?.code == .overloaded)
            }
            bus.refuse(nil)
            try a.emitCrossServer("x", to: .servers(["a", "b", "c"]))
            try await eventually { journal.all.count >= 3 }
            #expect(journal.all.sorted() == ["a", "b", "c"])
            #expect(a.statistics.cluster.messagesNotSent == 0)
        }
    }

    /// Without the order nothing waits, so nothing could be replaced.
    @Test func theLatestOfAKeyNeedsMessagesThatWait() async throws {
        let journal = Journal()
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.delivery = .bestEffort
        try await Self.withThree(journal, configuration: configuration) { servers, _ in
            let a = servers[0]
            let calls: [() throws -> Void] = [
                { try a.emitCrossServer("x", delivery: .latest(key: "k")) },
                { try a.emitCrossServer("x", to: .server("b"), delivery: .latest(key: "k")) },
                { try a.broadcast("x", delivery: .latest(key: "k")) },
                { try a.broadcastToRoom("r", in: "chat", "x", removingRoom: true, delivery: .latest(key: "k")) },
            ]
            for call in calls {
                #expect(#expect(throws: CrossServerError.self, performing: call)?.code == .invalidConfiguration)
            }
            try a.emitCrossServer("x", delivery: .bestEffort)
            try await eventually { journal.all.count >= 3 }
            #expect(journal.all.sorted() == ["a", "b", "c"])
        }
    }

    @Test(arguments: ["", String(repeating: "k", count: 257)])
    func aKeyHasALength(key: String) throws {
        let adapter = WebSocketCrossServerAdapter(serverName: "a")
        let error = #expect(throws: CrossServerError.self) { try adapter.broadcast("x", delivery: .latest(key: key)) }
        #expect(error?.code == .invalidName)
    }

    private static func withThree(
        _ journal: Journal,
        configuration: WebSocketCrossServerAdapter.Configuration = .init(),
        _ body: ([WebSocketCrossServerAdapter], RefusingBus) async throws -> Void
    ) async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let bus = RefusingBus(hub.makeBus())
        let buses: [any Bus] = [bus, hub.makeBus(), hub.makeBus()]
        try await withCluster(["a", "b", "c"], configuration: configuration, buses: buses) { adapter in
            adapter.onCrossServerEvent("x") { [name = adapter.serverName] _, _ in journal.add(name) }
        } run: { servers in
            try await body(servers, bus)
        }
    }
}

extension RefusingBus {
    /// Has too much to do for channels that begin so. It takes what servers say to each other beside the events.
    fileprivate func refuseEvents(_ prefix: String) {
        self.refuse { channel, message in
            guard channel.hasPrefix(prefix), String(buffer: message).contains("senderServer") else { return nil }
            return BusError(.tooManyBytesInFlight, "too much to do")
        }
    }
}
