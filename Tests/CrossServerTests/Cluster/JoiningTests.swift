import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Subscribes when the test says so, and is usable as it says.
private final class GatedBus: ForwardingBus {
    let bus: any Bus
    let isUsable = Mutex(true)
    let isSlow = Mutex(false)
    private let gate: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) =
        AsyncStream.makeStream()
    let waiting = Mutex(0)

    init(_ bus: any Bus) { self.bus = bus }

    func open() { self.gate.continuation.yield() }

    func subscribed(to channels: [String], within timeout: Duration) async throws {
        if self.isSlow.withLock({ $0 }) {
            self.waiting.withLock { $0 += 1 }
            if timeout < .seconds(1) { throw BusError(.notConnected, "the test's link does not answer") }
            for await _ in self.gate.stream { break }
        }
        try await self.bus.subscribed(to: channels, within: timeout)
    }

    var links: [BusLinkStatus] {
        self.bus.links.map { link in
            var link = link
            link.canReceive = link.canReceive && self.isUsable.withLock { $0 }
            return link
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct JoiningTests {
    private func withGatedServer(
        _ body: (WebSocketCrossServerAdapter, GatedBus, TestClient) async throws -> Void
    ) async throws {
        let bus = GatedBus(InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton).makeBus())
        try await withCluster(["a"], listening: .host("127.0.0.1", port: 0), buses: [bus]) { adapter in
            adapter.onWebSocketEvent(.connection) { socket, _ in try adapter.setUserSocket("1", socket) }
            adapter.onWebSocketEvent("join") { [unowned adapter] _, payload, reply in
                let result = try await adapter.joinRoom(payload.string ?? "", in: "n", "1")
                reply?(Payload("\(result)"))
            }
        } run: { servers in
            let client = try await TestClient.connect(to: try #require(servers[0].listeningAddress))
            try await body(servers[0], bus, client)
            client.close()
        }
    }

    @Test func joiningWaitsUntilTheRoomIsHeard() async throws {
        try await self.withGatedServer { adapter, bus, client in
            bus.isSlow.withLock { $0 = true }
            let isJoined = Mutex(false)
            let join = Task {
                defer { isJoined.withLock { $0 = true } }
                return try await adapter.joinRoom("r", in: "n", "1")
            }
            try await eventually { bus.waiting.withLock { $0 } == 1 }
            #expect(adapter.isJoinedRoom("1", in: "n", room: "r"))
            #expect(!isJoined.withLock { $0 })
            bus.open()
            let result1 = try await join.value
            #expect(result1 == .inForce)
            // Who is in it already waits for it, too.
            let again = Task { try await adapter.joinRoom("r", in: "n", "1") }
            try await eventually { bus.waiting.withLock { $0 } == 2 }
            bus.open()
            let result2 = try await again.value
            #expect(result2 == .inForce)
            try adapter.joinRoomWithoutWaiting("other", in: "m", "1")
            #expect(bus.waiting.withLock { $0 } == 2)
        }
    }

    /// It would hold the client's other messages.
    @Test func joiningWaitsForNoLinkThatIsNotThere() async throws {
        try await self.withGatedServer { adapter, bus, client in
            bus.isSlow.withLock { $0 = true }
            bus.isUsable.withLock { $0 = false }
            let result3 = try await client.request("join", "r")
            #expect(result3 == "pending")
            #expect(adapter.isJoinedRoom("1", in: "n", room: "r"))
            #expect(bus.waiting.withLock { $0 } == 0)
            bus.isUsable.withLock { $0 = true }
            let result4 = try await adapter.joinRoom("s", in: "n", "1", within: .milliseconds(1))
            #expect(result4 == .pending)
            #expect(adapter.isJoinedRoom("1", in: "n", room: "s"))
            bus.isSlow.withLock { $0 = false }
            let result5 = try await client.request("join", "r")
            #expect(result5 == "inForce")
        }
    }

    @Test func aServerWithoutABusWaitsForNothing() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, _ in try adapter.setUserSocket("1", socket) }
        } run: { server in
            _ = try await server.connect()
            try await eventually { server.adapter.socket(forID: "1") != nil }
            let result6 = try await server.adapter.joinRoom("r", in: "n", "1")
            #expect(result6 == .inForce)
            await #expect(throws: CrossServerError.self) { try await server.adapter.joinRoom("r", in: "n", "2") }
        }
    }
}
