import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// A bus that tells later what has come of messages to the inboxes of servers.
private final class LateBus: ForwardingBus {
    let bus: any Bus
    let isLate = Atomic(false)
    private let waiting = Mutex<[@Sendable () -> Void]>([])

    init(_ bus: any Bus) {
        self.bus = bus
    }

    var count: Int { self.waiting.withLock { $0.count } }

    func tell() {
        self.isLate.store(false, ordering: .relaxed)
        let waiting = self.waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for completion in waiting { completion() }
    }

    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        let isLate = self.isLate.load(ordering: .relaxed) && channel.hasPrefix("csbp:node:")
        try self.bus.publish(message, to: channel, over: link) { result in
            guard let completion else { return }
            if isLate { self.waiting.withLock { $0.append { completion(result) } } } else { completion(result) }
        }
    }
}

/// What becomes of questions, requests and messages when a server dies without a word.
@Suite(.timeLimit(.minutes(3))) struct CrashTests {
    /// Longer than any test may take.
    private static let never = Duration.seconds(3_600)

    /// Servers a, b and c, which have known each other for a while; b can be cut.
    private func withServers(
        prepare: (WebSocketCrossServerAdapter) -> Void = { _ in },
        _ body: ([WebSocketCrossServerAdapter], SeverableBus) async throws -> Void
    ) async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let severable = SeverableBus(hub.makeBus())
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        try await withCluster(
            ["a", "b", "c"],
            listening: .host("127.0.0.1", port: 0),
            configuration: configuration,
            buses: [hub.makeBus(), severable, hub.makeBus()]
        ) { adapter in
            adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                _ = try await adapter.claimUserSocket(request.parameters["id"] ?? "", socket)
            }
            adapter.onCrossServerEvent("ask") { _, reply in reply?(1) }
            prepare(adapter)
        } run: { servers in
            try await eventually { servers.allSatisfy { $0.servers.allSatisfy { $0.uptime > .seconds(2) } } }
            try await body(servers, severable)
        }
    }

    private func connect(_ id: String, to server: WebSocketCrossServerAdapter) async throws -> TestClient {
        let client = try await TestClient.connect(to: try #require(server.listeningAddress), target: "/?id=\(id)")
        try await eventually { server.socket(forID: id) != nil }
        return client
    }

    /// Long before it counts as dead.
    @Test func nobodyWaitsForAServerThatNobodyHears() async throws {
        try await self.withServers { servers, bus in
            let player = try await self.connect("player", to: servers[2])
            bus.sever()
            let counts = try await servers[0].clusterSocketCount(timeout: Self.never)
            #expect(counts.value == ["a": 0, "c": 1])
            #expect(counts.missing == [MissingReply(server: "b", reason: .suspected)])
            let presence = try await servers[0].presence(ofRoom: "r", in: "chat")
            #expect(presence.missing == [MissingReply(server: "b", reason: .suspected)])
            let all = try await servers[0].emitCrossServer("ask", timeout: Self.never)
            #expect(all == CrossServerReplies(replies: ["a": 1, "c": 1], missing: counts.missing))
            let one = try await servers[0].emitCrossServer("ask", to: .servers(["b"]), timeout: Self.never)
            #expect(one == CrossServerReplies(replies: [:], missing: counts.missing))
            let nobody = await #expect(throws: CrossServerError.self) {
                try await servers[0].emit(toSocketId: "nobody", "ask", timeout: Self.never)
            }
            #expect(nobody?.code == .unknownSocket)
            async let reply = servers[0].emit(toSocketId: "player", "ask", timeout: Self.never)
            let envelope = try Envelope(scanning: try await player.nextMessage().payload)
            player.send(#"{"payload":7,"requestId":"\#(envelope.requestId?.string ?? "")"}"#)
            #expect(try await reply == 7)
            // One that is heard again answers.
            bus.mend()
            try await eventually {
                try await servers[0].emitCrossServer("ask", to: .servers(["b"]), timeout: .seconds(30)).missing.isEmpty
            }
        }
    }

    @Test func whatNobodyHasHeardFollowsTheClient() async throws {
        try await self.withServers { servers, bus in
            let unsent = Mutex(0)
            servers[0].onUnsentMessage { _ in unsent.withLock { $0 += 1 } }
            let client = try await self.connect("x", to: servers[1])
            for number in 0..<20 {
                try servers[0].toSocketId("x", "n", Payload(number))
                #expect(try await client.next("n") == Payload(number))
            }
            bus.sever()
            for number in 0..<10 { try servers[0].toSocketId("x", "n", Payload(number)) }
            let second = try await self.connect("x", to: servers[2])
            for number in 10..<30 { try servers[0].toSocketId("x", "n", Payload(number)) }
            var received: [Payload] = []
            while received.last != 29 { received.append(try await second.next("n")) }
            // On a machine so slow that the server has counted as dead before the client came back the first ones are lost:
            // then that is reported.
            let count = received.count
            #expect(received == (30 - count..<30).map { Payload($0) })
            #expect(count >= 20)
            try await eventually { unsent.withLock { $0 } == 30 - count }
        }
    }

    @Test func whatFindsTheClientNowhereIsReported() async throws {
        try await self.withServers { servers, bus in
            let unsent = Mutex(0)
            servers[0].onUnsentMessage { message in
                if message.error.code == .unknownSocket { unsent.withLock { $0 += 1 } }
            }
            let client = try await self.connect("x", to: servers[1])
            for number in 0..<20 {
                try servers[0].toSocketId("x", "n", Payload(number))
                #expect(try await client.next("n") == Payload(number))
            }
            bus.sever()
            for number in 0..<10 { try servers[0].toSocketId("x", "n", Payload(number)) }
            try await eventually { unsent.withLock { $0 } == 10 }
        }
    }

    /// What comes of a message to the former life is told when the next one is known.
    @Test func aRequestToAFormerLifeEndsAlsoWhenTheNextOneIsThere() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let (late, severable) = (LateBus(hub.makeBus()), SeverableBus(hub.makeBus()))
        try await withCluster(["a", "b"], buses: [late, severable]) { servers in
            try await eventually { servers.allSatisfy { $0.servers.allSatisfy { $0.uptime > .seconds(2) } } }
            severable.sever()
            try await eventually { servers[0].servers.map(\.name) == ["a"] }
            late.isLate.store(true, ordering: .relaxed)
            let replies = Task {
                try await servers[0].emitCrossServer("ask", to: .servers(["b"]), timeout: Self.never)
            }
            defer { replies.cancel() }
            try await eventually { late.count > 0 }
            try await withCluster(["b"], buses: [hub.makeBus()]) { _ in
                try await eventually { servers[0].servers.map(\.name) == ["a", "b"] }
                late.tell()
                #expect(try await replies.value.missing == [MissingReply(server: "b", reason: .died)])
            }
        }
    }

    /// A server that hears nobody cannot tell whether others have died: they may do what they were asked.
    @Test func whoHearsNobodyWaitsForTheAnswer() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let bus = SeverableBus(hub.makeBus())
        let handled = Mutex(0)
        try await withCluster(["a", "b"], buses: [bus, hub.makeBus()]) { adapter in
            adapter.onCrossServerEvent("ask") { _, reply in
                handled.withLock { $0 += 1 }
                reply?(1)
            }
        } run: { servers in
            bus.sever()
            async let replies = servers[0].emitCrossServer("ask", to: .servers(["b"]), timeout: Self.never)
            try await eventually { servers[0].servers.map(\.name) == ["a"] }
            bus.mend()
            #expect(try await replies == CrossServerReplies(replies: ["b": 1]))
            #expect(handled.withLock { $0 } == 1)
        }
    }
}

/// Code of the application never runs while a lock is held.
@Suite(.timeLimit(.minutes(2))) struct LockTests {
    @Test func whatIsReportedMayBeAnsweredByAMessage() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let bus = RefusingBus(hub.makeBus())
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        configuration.cluster.delivery = .bestEffort
        let reports = Mutex(0)
        try await withChat(["a": [], "b": ["x"]], configuration: configuration, buses: [bus, hub.makeBus()]) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            a.onUnsentMessage { [unowned a] _ in
                // It is refused, too: that it returns is all that counts.
                _ = try? a.toSocketId("somebody", "again")
                reports.withLock { $0 += 1 }
            }
            try a.toSocketId("x", "n", 0)
            #expect(try await chat["x"].next("n") == 0)
            bus.refuse { channel, _ in
                channel == "ws:private_socket" ? BusError(.notConnected, "refused") : nil
            }
            // When it goes to its server's inbox.
            try await eventually { (try? a.toSocketId("x", "n", 1)) != nil }
            #expect(try await chat["x"].next("n") == 1)
            try chat["x"].close()
            try await eventually { b.socket(forID: "x") == nil }
            try a.toSocketId("x", "n", 2)
            try await eventually { reports.withLock { $0 } > 0 }
        }
    }

    /// What a listener holds may do something at its end.
    @Test func listenersAreLetGoOfBehindTheLock() {
        final class Last: Sendable {
            let end: @Sendable () -> Void
            init(_ end: @escaping @Sendable () -> Void) { self.end = end }
            deinit { self.end() }
        }
        let adapter = WebSocketCrossServerAdapter(serverName: "a")
        let ended = Mutex(0)
        func make() -> Last {
            Last { [weak adapter] in
                adapter?.offCrossServerEvent("other")
                adapter?.offWebSocketEvent("other")
                ended.withLock { $0 += 1 }
            }
        }
        do {
            let (first, second) = (make(), make())
            adapter.onCrossServerEvent("event") { _, _ in _ = first }
            adapter.onWebSocketEvent("event") { _, _, _ in _ = second }
        }
        adapter.offCrossServerEvent("event")
        adapter.offWebSocketEvent("event")
        #expect(ended.withLock { $0 } == 2)
    }
}
