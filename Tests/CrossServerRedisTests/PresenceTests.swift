import CrossServer
import CrossServerRedis
import CrossServerTesting
import Testing

/// Who is in a room, over `redis-server`.
@Suite struct PresenceTests {
    @Test(.timeLimit(.minutes(3)))
    func membersAreFollowedAlsoAfterRedisWasAway() async throws {
        let redis = try await RedisServerProcess.start()
        let node = try RedisNode(redis.url)
        try await withBuses([[node], [node]], connections: .again(2...2)) { buses in
            try await withCluster(
                ["a", "b"],
                listening: .host("127.0.0.1", port: 0),
                buses: buses,
                prepare: { adapter in
                    adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                        try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
                    }
                    adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
                },
                run: { servers in
                    var clients: [TestClient] = []
                    for (id, server) in [("1", servers[0]), ("2", servers[1]), ("3", servers[1])] {
                        let client = try await TestClient.connect(
                            to: try #require(server.listeningAddress),
                            target: "/?id=\(id)"
                        )
                        _ = try await client.request("flush")
                        clients.append(client)
                    }
                    try servers[0].join("1")
                    let presence = try await servers[0].presence(ofRoom: "r", in: "n", grace: .milliseconds(100))
                    #expect(presence.members == ["1": "a"])
                    #expect(presence.missing == [])
                    try servers[1].join("2")
                    try await eventually("a member of the other server") { presence.members == ["1": "a", "2": "b"] }
                    redis.kill()
                    try await eventually("the loss of Redis") { !servers[1].busLinks.contains { $0.canPublish } }
                    // Nobody can tell of these.
                    servers[1].leaveRoom("r", in: "n", "2")
                    try servers[1].join("3")
                    try await redis.start()
                    try await eventually("what was missed") {
                        presence.members == ["1": "a", "3": "b"] && presence.missing == []
                    }
                    presence.cancel()
                    try await eventually("the end of the subscription") {
                        try !redis.cli("PUBSUB", "CHANNELS").contains("presence")
                    }
                    for client in clients { client.close() }
                }
            )
        }
    }
}

extension WebSocketCrossServerAdapter {
    /// Without waiting for the room's channel.
    fileprivate func join(_ id: String) throws {
        try self.joinRoomWithoutWaiting("r", in: "n", id)
    }
}
