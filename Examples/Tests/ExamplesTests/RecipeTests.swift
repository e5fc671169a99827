import CrossServer
import CrossServerRedis
import CrossServerTesting
import Recipes
import Testing

@Suite struct RecipeTests {
    @Test(.timeLimit(.minutes(1)))
    func aLogicServerAnswersAClient() async throws {
        try await withBroker { broker in
            let front = makeServer("front", try RedisBus(broker), port: 0)
            front.forwardMatchRequests(to: "logic")
            let logic = makeServer("logic", try RedisBus(broker))
            logic.answerMatchRequests { mode in
                guard mode == "ranked" else { throw RequestFailure(code: "NO_SUCH_MODE", message: mode) }
                return "room-7"
            }
            try await whileRunning([front, logic]) {
                try await front.ready(takesClients: true)
                try await logic.ready()
                let client = try await front.connect(id: "1")
                #expect(try await client.request("matchRequest", ["mode": "ranked"]) == ["roomID": "room-7"])
                let failure = await #expect(throws: RequestFailure.self) {
                    try await client.request("matchRequest", ["mode": "casual"])
                }
                #expect(failure == RequestFailure(code: "NO_SUCH_MODE", message: "casual"))
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aClientIsToldThatTheLogicServerIsAway() async throws {
        try await withBroker { broker in
            let front = makeServer("front", try RedisBus(broker), port: 0)
            front.forwardMatchRequests(to: "logic")
            try await whileRunning([front]) {
                try await front.ready(takesClients: true)
                let client = try await front.connect(id: "1")
                let failure = await #expect(throws: RequestFailure.self) {
                    try await client.request("matchRequest", ["mode": "ranked"])
                }
                #expect(failure?.code == "NO_LOGIC_SERVER")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func everyServerTakesAnotherRedisNode() async throws {
        try await withBroker { first in
            try await withBroker { second in
                let buses = try ["admin", "a", "b"].map { name in (name, try RedisBus(first)) }
                let servers = buses.map { name, bus in
                    let server = makeServer(name, bus)
                    server.addRedisNodes(to: bus, askedBy: "admin")
                    return server
                }
                try await whileRunning(servers) {
                    for server in servers { try await server.ready() }
                    for url in [second, second] {
                        let result = try await servers[0].emitCrossServer(AddRedisNode(url: url), timeout: .seconds(5))
                        #expect(result.missing == [])
                        #expect(result.replies.mapValues(\.nodeCount) == ["admin": 2, "a": 2, "b": 2])
                        try await eventually {
                            buses.allSatisfy { _, bus in bus.links.allSatisfy { $0.canPublish && $0.canReceive } }
                        }
                    }
                    let refused = try await servers[1].emitCrossServer(
                        AddRedisNode(url: "127.0.0.1:1"),
                        to: .servers(["b"]),
                        timeout: .seconds(5)
                    )
                    let forbidden = MissingReply.Reason.failed(code: "FORBIDDEN", message: "a may not do that")
                    #expect(refused.missing == [MissingReply(server: "b", reason: forbidden)])
                    // Over the new node alone all are reached.
                    for (_, bus) in buses { bus.remove(try #require(bus.links.first).link) }
                    let result = try await servers[0].emitCrossServer(AddRedisNode(url: second), timeout: .seconds(5))
                    #expect(result.missing == [])
                    #expect(result.replies.mapValues(\.nodeCount) == ["admin": 1, "a": 1, "b": 1])
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aRoomIsCountedOnAllServers() async throws {
        try await withBroker { broker in
            let servers = try ["a", "b", "c"].map { name in
                let server = makeServer(name, try RedisBus(broker), port: 0)
                server.answerRoomCounts()
                server.onWebSocketEvent(.connection) { socket, request in
                    guard let id = request.parameters["id"] else { return socket.close(.authenticationFailed) }
                    try server.setUserSocket(id, socket)
                    try await server.joinRoom("lobby", in: "chat", id)
                }
                return server
            }
            try await whileRunning(servers) {
                for server in servers { try await server.ready(takesClients: true) }
                var clients: [TestClient] = []
                for (server, ids) in zip(servers, [["1", "2"], ["3"], []]) {
                    for id in ids { clients.append(try await server.connect(id: id)) }
                }
                try await eventually {
                    let (count, missing) = try await servers[2].clusterCount(inRoom: "lobby", in: "chat")
                    return count == 3 && missing.isEmpty
                }
                let (count, missing) = try await servers[0].clusterCount(inRoom: "cellar", in: "chat")
                #expect(count == 0)
                #expect(missing == [])
                withExtendedLifetime(clients) {}
            }
        }
    }
}
