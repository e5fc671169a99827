import CrossServer
import CrossServerRedis
import CrossServerTesting
import Testing

@Suite struct JoiningTests {
    /// The id is in the room, and the room is heard when Redis is back.
    @Test(.timeLimit(.minutes(3)))
    func joiningWaitsForNoRedisThatIsAway() async throws {
        let redis = try RedisServerProcess()
        try await redis.start()
        let node = try RedisNode(redis.url)
        try await withBuses([[node], [node]], connections: .again(2...2)) { buses in
            try await withCluster(["a", "b"], listening: .host("127.0.0.1", port: 0), buses: buses) { adapter in
                adapter.onWebSocketEvent(.connection) { socket, request in
                    try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
                }
            } run: { servers in
                let client = try await TestClient.connect(
                    to: try #require(servers[1].listeningAddress),
                    target: "/?id=1"
                )
                redis.kill()
                try await eventually("that Redis is missed") { !servers[1].busLinks.contains { $0.canReceive } }
                // With more time than the test has: it does not wait.
                #expect(try await servers[1].joinRoom("r", in: "n", "1", within: .seconds(1_000)) == .pending)
                try await redis.start()
                // A server counts as ready for a while after Redis has gone.
                try await eventually("that Redis is back") {
                    servers.allSatisfy { $0.busLinks.contains { $0.canReceive && $0.canPublish } }
                }
                #expect(try await servers[1].joinRoom("r", in: "n", "1") == .inForce)
                try servers[0].broadcastToRoom("r", in: "n", "say", 1)
                #expect(try await client.next("say") == 1)
                client.close()
            }
        }
    }
}
