import CrossServer
import CrossServerTesting
import Testing

@Suite(.timeLimit(.minutes(5))) struct ChurnTests {
    /// Clients come, join rooms and go in every way there is; nothing of them may stay.
    @Test func nothingIsLeftOfFiveThousandClients() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                let id = request.parameters["id"] ?? ""
                try adapter.setUserSocket(id, socket)
                for room in 0..<3 { try await adapter.joinRoom("\(id.hashValue % 50 + room)", in: "n\(room)", id) }
            }
            adapter.onceWebSocketEvent("once") { _, _, _ in }
            adapter.onWebSocketEvent("ready") { _, _, reply in
                await Task.yield()
                reply?(.absent)
            }
        } run: { server in
            for round in 0..<25 {
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for number in 0..<200 {
                        // Some ids are taken over by a second connection.
                        tasks.addTask { try await Self.comeAndGo("/?id=\(round)-\(number % 190)", number, server) }
                    }
                    try await tasks.waitForAll()
                }
            }
            try await eventually { server.adapter.socketClientCount == 0 }
            let statistics = server.adapter.statistics
            #expect(statistics.boundIds == 0)
            #expect(statistics.rooms == 0)
            #expect(statistics.namespaces == 0)
            #expect(statistics.messagesReceived >= 5_000)
        }
    }

    private static func comeAndGo(_ target: String, _ number: Int, _ server: RunningServer) async throws {
        let client = try await server.connect(target)
        _ = try await client.request("ready")
        client.emit("once")
        switch number % 3 {
        case 0: client.close()
        case 1: client.terminate()
        default:
            client.send("no JSON")
            client.close(4_001, reason: "client manual close")
        }
        _ = try await client.closed()
    }
}
