import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOPosix
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)))
struct ServerMembershipTests {
    @Test func serversKnowEachOther() async throws {
        try await withChat(["b": ["1", "2"], "a": ["3"], "c": []]) { chat in
            try await chat.servers[0].joinRoom("r", in: "chat", "1")
            for server in chat.servers {
                try await eventually {
                    let servers = server.servers
                    return servers.map(\.name) == ["a", "b", "c"] && servers.map(\.connections) == [1, 2, 0]
                        && servers.map(\.rooms) == [0, 1, 0] && servers.allSatisfy(\.isReachable)
                }
                #expect(server.servers.filter(\.isThisServer).map(\.name) == [server.serverName])
                #expect(server.servers.allSatisfy { !$0.isStopping })
                #expect(server.originalServerCount == 0)
            }
        }
    }

    /// Also while nothing else changes.
    @Test func uptimesGrow() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a", "b"], buses: [hub.makeBus(), hub.makeBus()]) { servers in
            try await eventually { servers[0].servers.count == 2 }
            let first = servers[0].servers.map(\.uptime)
            try await eventually { zip(servers[0].servers, first).allSatisfy { $0.uptime > $1 + .seconds(2) } }
        }
    }

    @Test func joiningAndLeavingIsReported() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let changes = Mutex<[String]>([])
        try await withCluster(["a"], buses: [hub.makeBus()]) { servers in
            servers[0].onServerChange { change in
                changes.withLock { changes in
                    switch change {
                    case .joined(let server): changes.append("joined \(server.name)")
                    case .left(let server, let reason): changes.append("left \(server.name) \(reason)")
                    }
                }
            }
            for _ in 0..<2 {
                try await withCluster(["b"], buses: [hub.makeBus()]) { others in
                    try await eventually { servers[0].servers.count == 2 && others[0].servers.count == 2 }
                }
                try await eventually { servers[0].servers.count == 1 }
            }
            let expected = ["joined b", "left b stopped", "joined b", "left b stopped"]
            try await eventually { changes.withLock { $0.count } >= expected.count }
            #expect(changes.withLock { $0 } == expected)
        }
    }

    /// Who waits for the reply of a server does not wait any longer when it leaves.
    @Test func waitingEndsWhenAServerLeaves() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a", "b"], buses: [hub.makeBus(), hub.makeBus()]) { servers in
            let adapter = WebSocketCrossServerAdapter(serverName: "c", bus: hub.makeBus())
            let running = Task { try await adapter.run() }
            for server in servers {
                server.onCrossServerEvent("ask") { _, reply in reply?(1) }
            }
            adapter.onCrossServerEvent("ask") { _, _ in running.cancel() }
            try await eventually { servers[0].servers.count == 3 }
            let replies = try await servers[0].emitCrossServer("ask", timeout: .seconds(3_600))
            #expect(Set(replies.replies.keys) == ["a", "b"])
            #expect(replies.missing == [MissingReply(server: "c", reason: .stopped)])
            _ = await running.result
        }
    }

    @Test func anObserverIsNoServer() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.isObserver = true
        let body: @Sendable (WebSocketCrossServerAdapter) -> Void = { adapter in
            adapter.onCrossServerEvent("ask") { _, reply in reply?(1) }
        }
        try await withCluster(["a", "b"], buses: [hub.makeBus(), hub.makeBus()], prepare: body) { servers in
            try await withCluster(["tool"], configuration: configuration, buses: [hub.makeBus()], prepare: body) {
                tools in
                try await eventually { tools[0].servers.count == 3 && servers[0].servers.count == 2 }
                let replies = try await servers[0].emitCrossServer("ask", timeout: .seconds(3_600))
                #expect(replies == CrossServerReplies(replies: ["a": 1, "b": 1]))
                let asked = try await tools[0].emitCrossServer("ask", exceptSelf: true, timeout: .seconds(3_600))
                #expect(asked == CrossServerReplies(replies: ["a": 1, "b": 1]))
            }
        }
    }
}
