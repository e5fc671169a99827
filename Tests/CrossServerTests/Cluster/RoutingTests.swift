import CrossServer
import CrossServerTesting
import NIOCore
import Testing

/// Messages for one client, which go to the one server that holds it.
@Suite(.timeLimit(.minutes(2))) struct RoutingTests {
    private func withServers(
        _ uniqueIds: WebSocketCrossServerAdapter.Configuration.UniqueIds,
        _ body: ([WebSocketCrossServerAdapter]) async throws -> Void
    ) async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = uniqueIds
        try await withCluster(
            ["a", "b", "c"],
            listening: .host("127.0.0.1", port: 0),
            configuration: configuration
        ) { adapter in
            adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                _ = try await adapter.claimUserSocket(request.parameters["id"] ?? "", socket)
            }
        } run: { servers in
            try await body(servers)
        }
    }

    private func connect(_ id: String, to server: WebSocketCrossServerAdapter) async throws -> TestClient {
        let client = try await TestClient.connect(to: try #require(server.listeningAddress), target: "/?id=\(id)")
        try await eventually { server.socket(forID: id) != nil }
        return client
    }

    @Test(arguments: [
        WebSocketCrossServerAdapter.Configuration.UniqueIds.perServer, .replacing, .refusing,
    ])
    func messagesForOneClientStayInOrder(uniqueIds: WebSocketCrossServerAdapter.Configuration.UniqueIds) async throws {
        try await self.withServers(uniqueIds) { servers in
            let client = try await self.connect("x", to: servers[1])
            for number in 0..<1_000 { try servers[0].toSocketId("x", "n", Payload(number)) }
            for number in 0..<1_000 { #expect(try await client.next("n") == Payload(number)) }
            for number in 0..<100 {
                try servers[0].toSocketId("x", "n", Payload(number))
                #expect(try await client.next("n") == Payload(number))
            }
        }
    }

    @Test func aClientThatMovesGetsWhatIsSentAfterwardsInOrder() async throws {
        try await self.withServers(.replacing) { servers in
            for round in 0..<20 {
                let client = try await self.connect("x", to: servers[1 + round % 2])
                for number in 0..<20 { try servers[0].toSocketId("x", "n", Payload("\(round) \(number)")) }
                for number in 0..<20 { #expect(try await client.next("n") == Payload("\(round) \(number)")) }
                client.close()
                try await eventually { servers[1 + round % 2].socket(forID: "x") == nil }
            }
            // And to the server that sends.
            let client = try await self.connect("x", to: servers[0])
            for number in 0..<20 { try servers[0].toSocketId("x", "n", Payload(number)) }
            for number in 0..<20 { #expect(try await client.next("n") == Payload(number)) }
        }
    }

    @Test func onlyTheHoldersServerHearsIt() async throws {
        try await self.withServers(.replacing) { servers in
            let client = try await self.connect("x", to: servers[1])
            let others = try await self.connect("y", to: servers[2])
            for number in 0..<50 {
                try servers[0].toSocketId("x", "n", Payload(number))
                #expect(try await client.next("n") == Payload(number))
            }
            #expect(others.waitingMessages.isEmpty)
            #expect(servers[2].statistics.cluster.clientMessagesReceived < 10)
        }
    }
}
