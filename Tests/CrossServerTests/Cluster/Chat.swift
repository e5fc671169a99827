import CrossServer
import CrossServerBus
import CrossServerTesting
import CrossServerWire
import NIOCore
import Testing

/// Servers that bind `?id=`, with clients.
struct Chat: Sendable {
    let servers: [WebSocketCrossServerAdapter]
    let clients: [String: TestClient]

    subscript(_ id: String) -> TestClient {
        get throws { try #require(self.clients[id]) }
    }

    static func prepare(_ adapter: WebSocketCrossServerAdapter) {
        adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
            if let id = request.parameters["id"] {
                try adapter.setUserSocket(id, socket)?.close(.replacedByAnotherLogin)
            }
        }
        adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
    }

    /// Connects a client and waits until its id is bound.
    static func connect(_ id: String, to server: WebSocketCrossServerAdapter) async throws -> TestClient {
        let address = try #require(server.listeningAddress)
        let client = try await TestClient.connect(to: address, target: "/?id=\(id)")
        _ = try await client.request("flush")
        return client
    }

    /// Expects that the event comes to these clients, so often, and to no other: a message to all that is sent behind it
    /// has come to all by then.
    func expect(_ event: String, _ counts: [String: Int], sourceLocation: SourceLocation = #_sourceLocation)
        async throws
    {
        for (id, count) in counts {
            for _ in 0..<count { _ = try await self[id].next(event) }
        }
        for server in self.servers { try server.broadcast("fence") }
        for (id, client) in self.clients {
            for _ in self.servers { _ = try await client.next("fence") }
            let more = try client.waitingMessages.contains { try Envelope(scanning: $0.payload).event == event }
            #expect(!more, "client \(id) has got too much", sourceLocation: sourceLocation)
        }
    }
}

/// Runs servers with clients, `["a": ["1", "2"]]` for two of server a.
func withChat(
    _ ids: KeyValuePairs<String, [String]>,
    configuration: WebSocketCrossServerAdapter.Configuration = .init(),
    buses: [any Bus]? = nil,
    prepare: (WebSocketCrossServerAdapter) throws -> Void = { _ in },
    _ body: (Chat) async throws -> Void
) async throws {
    try await withCluster(
        ids.map(\.key),
        listening: .host("127.0.0.1", port: 0),
        configuration: configuration,
        buses: buses,
        prepare: { adapter in
            Chat.prepare(adapter)
            try prepare(adapter)
        },
        run: { servers in
            var clients: [String: TestClient] = [:]
            for (server, ids) in zip(servers, ids.map(\.value)) {
                for id in ids { clients[id] = try await Chat.connect(id, to: server) }
            }
            try await body(Chat(servers: servers, clients: clients))
        }
    )
}
