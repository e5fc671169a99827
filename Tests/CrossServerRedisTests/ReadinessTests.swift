import CrossServer
import CrossServerRedis
import Synchronization
import Testing

/// What a server says of itself, and who is missing in its cluster, over `redis-server`.
@Suite struct ReadinessTests {
    @Test(.timeLimit(.minutes(3)))
    func itIsReadyWhileRedisIsThere() async throws {
        let redis = try RedisServerProcess()
        try await Self.withServer([redis.url], connections: .again(2...2)) { server, _ in
            try await eventually("a look at the bus") {
                guard case .busUnusable(let links)? = server.readiness.problems.first else { return false }
                return links.count == 1 && links[0].hasPrefix("127.0.0.1:\(redis.port) (no connection to")
            }
            for _ in 0..<2 {
                try await redis.start()
                try await eventually("ready: \(server.readiness)") { server.readiness == Readiness() }
                redis.kill()
                try await eventually("not ready") { !server.readiness.isReady }
            }
        }
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["publish", "password"])
    func whatRedisRefusesIsNamed(refused: String) async throws {
        let redis = try await RedisServerProcess.start()
        let rights = ["+@pubsub", "+ping", "&*"] + (refused == "publish" ? ["-publish"] : [])
        _ = try Programs.run("redis-cli", ["-p", "\(redis.port)", "ACL", "SETUSER", "joe", "on", ">pw"] + rights)
        let url = "redis://joe:\(refused == "password" ? "wrong" : "pw")@127.0.0.1:\(redis.port)"
        try await Self.withServer([url], connections: .neverAgain) { server, _ in
            let expected = refused == "password" ? "WRONGPASS" : "NOPERM"
            try await eventually("\(expected): \(server.readiness)") { "\(server.readiness)".contains(expected) }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func oneOfTwoIsEnough() async throws {
        let redis = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        try await Self.withServer(redis.map(\.url), connections: .neverAgain) { server, _ in
            let changes = Mutex<[Readiness]>([])
            server.onReadinessChange { change in changes.withLock { $0.append(change) } }
            try await eventually("both: \(server.servers)") {
                server.servers.first?.links.count == 2 && changes.withLock { $0.last?.isReady } == true
            }
            changes.withLock { $0 = [] }
            redis[0].freeze()
            try await eventually("the other alone") { server.servers.first?.links == ["127.0.0.1:\(redis[1].port)"] }
            #expect(server.readiness.isReady)
            #expect(changes.withLock { $0 } == [])
            redis[1].freeze()
            try await eventually("none") { !server.readiness.isReady }
            redis[0].thaw()
            try await eventually("one again") { server.readiness.isReady }
            try await eventually("told so") { changes.withLock { $0.map(\.isReady) } == [false, true] }
            redis[1].thaw()
        }
    }

    /// All commands are answered, and nothing is carried.
    @Test(.timeLimit(.minutes(3)))
    func aRedisThatCarriesNothingIsNotEnough() async throws {
        let deaf = try await ScriptedRedis.start(ScriptedRedis.good)
        let redis = try await RedisServerProcess.start()
        try await Self.withServer([deaf.url]) { server, bus in
            try await eventually("connected") { server.busLinks.allSatisfy { $0.canPublish && $0.canReceive } }
            for _ in 0..<20 {
                #expect(!server.readiness.isReady)
                try await Task.sleep(for: .milliseconds(50))
            }
            _ = try bus.add(try RedisNode(redis.url))
            try await eventually("ready") { server.readiness.isReady }
        }
        try await deaf.stop()
    }

    /// It answers PING, and holds back what is published.
    @Test(.timeLimit(.minutes(3)))
    func aRedisThatHoldsBackMessagesIsNotEnough() async throws {
        let redis = try await RedisServerProcess.start()
        try await Self.withServer([redis.url]) { server, _ in
            try await eventually("ready") { server.readiness.isReady }
            try redis.cli("CLIENT", "PAUSE", "600000", "WRITE")
            try await eventually("not ready") { !server.readiness.isReady }
            #expect(server.busLinks.allSatisfy { $0.canPublish && $0.canReceive })
            try redis.cli("CLIENT", "UNPAUSE")
            try await eventually("ready again") { server.readiness.isReady }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aChannelThatIsRefusedEverywhere() async throws {
        let redis = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        for redis in redis { try redis.cli("ACL", "SETUSER", "default", "resetchannels", "&csbp:*", "&ws:*") }
        try await Self.withServer(redis.map(\.url)) { server, _ in
            try await eventually("ready") { server.servers.first?.links.count == 2 && server.readiness.isReady }
            try server.manualSubscribe("news", "weather")
            try await eventually("refused: \(server.readiness)") {
                guard server.readiness.problems.count == 2,
                    case .notSubscribed("news", let refusal?) = server.readiness.problems[0]
                else { return false }
                return refusal.hasPrefix("NOPERM")
            }
            server.unsubscribe("weather")
            try redis[1].cli("ACL", "SETUSER", "default", "&news")
            try await eventually("one hears it", within: .seconds(100)) { server.readiness.isReady }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func twoServersWithoutACommonRedisNode() async throws {
        let redis = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        let nodes = try redis.map { try RedisNode($0.url) }
        try await withBuses([[nodes[0]], nodes, [nodes[1]]]) { buses in
            let servers = zip(["a", "b", "c"], buses).map { name, bus in
                let server = WebSocketCrossServerAdapter(serverName: name, bus: bus)
                server.onCrossServerEvent("ask") { _, reply in reply?(Payload(name)) }
                return server
            }
            let running = servers.map { server in Task { try await server.run() } }
            defer { for task in running { task.cancel() } }
            try await eventually("both sides know") {
                servers.map(\.readiness.unreachableServers) == [["c"], [], ["a"]]
            }
            let (a, b) = (servers[0], servers[1])
            #expect(servers.allSatisfy { $0.readiness.isReady })
            #expect(a.servers.map(\.name) == ["a", "b", "c"])
            #expect(a.servers.map(\.isReachable) == [true, true, false])
            #expect(b.servers.map(\.isReachable) == [true, true, true])

            let missing = MissingReply(server: "c", reason: .unreachable)
            let all = try await a.emitCrossServer("ask", timeout: .seconds(3_600))
            #expect(all == CrossServerReplies(replies: ["a": "a", "b": "b"], missing: [missing]))
            let some = try await a.emitCrossServer("ask", to: .servers(["b", "c"]), timeout: .seconds(3_600))
            #expect(some == CrossServerReplies(replies: ["b": "b"], missing: [missing]))
            let one = try await a.emitCrossServer("ask", to: .server("c"), timeout: .seconds(3_600))
            #expect(one == CrossServerReplies(missing: [missing]))
            #expect(try await a.clusterSocketCount(timeout: .seconds(3_600)).missing == [missing])
            #expect(try await b.clusterSocketCount(timeout: .seconds(3_600)).isComplete)

            #expect(try a.emitCrossServer("x").map(\.server) == ["c"])
            let unreached = try a.emitCrossServer("x", to: .servers(["b", "c"]))
            #expect(unreached.map(\.server) == ["c"])
            #expect(unreached.map(\.error.code) == [.unreachable])
            #expect(try b.emitCrossServer("x") == [])
            let error = #expect(throws: CrossServerError.self) { try a.emitCrossServer("x", to: .server("c")) }
            #expect(error?.code == .unreachable)

            _ = try buses[0].add(nodes[1])
            try await eventually("connected") { servers.allSatisfy(\.readiness.unreachableServers.isEmpty) }
            try await eventually("an answer of all") {
                try await a.emitCrossServer("ask", timeout: .seconds(30)).replies == ["a": "a", "b": "b", "c": "c"]
            }
        }
    }

    private static func withServer(
        _ nodes: [String],
        connections: ExpectedConnections = .once,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (WebSocketCrossServerAdapter, RedisBus) async throws -> Void
    ) async throws {
        let nodes = [try nodes.map { try RedisNode($0) }]
        try await withBuses(nodes, connections: connections, sourceLocation: sourceLocation) { buses in
            let server = WebSocketCrossServerAdapter(serverName: "a", bus: buses[0])
            let running = Task { try await server.run() }
            defer { running.cancel() }
            try await body(server, buses[0])
        }
    }
}

extension WebSocketCrossServerAdapter {
    fileprivate func unsubscribe(_ channel: String) {
        #expect(throws: Never.self) { try self.manualUnsubscribe(channel) }
    }
}
