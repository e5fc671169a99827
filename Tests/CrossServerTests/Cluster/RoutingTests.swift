import CrossServer
import CrossServerTesting
import CrossServerWire
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

    @Test(arguments: [
        WebSocketCrossServerAdapter.Configuration.UniqueIds.perServer, .replacing,
    ])
    func messagesForOneAndForSeveralStayInOrder(
        uniqueIds: WebSocketCrossServerAdapter.Configuration.UniqueIds
    ) async throws {
        try await self.withServers(uniqueIds) { servers in
            let x = try await self.connect("x", to: servers[1])
            let y = try await self.connect("y", to: servers[2])
            let here = try await self.connect("here", to: servers[0])
            let all = ["x", "here", "nobody", "y", "x", ""]
            for number in 0..<600 {
                switch number % 3 {
                case 0: try servers[0].toSocketId("x", "n", Payload(number))
                case 1: #expect(try servers[0].toSocketIds(all, "n", Payload(number)) == 1)
                default: try servers[0].toSocketIds(["x", "gone"], "n", Payload(number))
                }
            }
            for number in 0..<600 { #expect(try await x.next("n") == Payload(number)) }
            for number in stride(from: 1, to: 600, by: 3) {
                #expect(try await y.next("n") == Payload(number))
                #expect(try await here.next("n") == Payload(number))
            }
            for client in [x, y, here] { #expect(client.waitingMessages.isEmpty) }
        }
    }

    @Test func aClientIsAskedWhereItWasFoundBefore() async throws {
        try await self.withServers(.replacing) { servers in
            func ask(_ client: TestClient) async throws {
                async let reply = servers[0].emit(toSocketId: "x", "ask", timeout: .seconds(30))
                let envelope = try Envelope(scanning: try await client.nextMessage().payload)
                client.send(#"{"payload":7,"requestId":"\#(envelope.requestId?.string ?? "")"}"#)
                #expect(try await reply == 7)
            }
            for round in 0..<4 {
                // The one before is closed: it has gone to another server.
                let client = try await self.connect("x", to: servers[1 + round % 2])
                try await eventually { servers[2 - round % 2].socket(forID: "x") == nil }
                for _ in 0..<3 { try await ask(client) }
                if round == 3 { client.close() }
            }
            try await eventually { servers[2].socket(forID: "x") == nil }
            let error = await #expect(throws: CrossServerError.self) {
                try await servers[0].emit(toSocketId: "x", "ask", timeout: .seconds(30))
            }
            #expect(error?.code == .unknownSocket)
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
