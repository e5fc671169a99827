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

    /// The clients that have got the event with the payload `mark`, which must be the last that was sent to them, once a
    /// message to all that is sent behind it has come to all.
    ///
    /// - Returns: how often each got it.
    func received(_ event: String) async throws -> [String: Int] {
        for server in self.servers { try server.broadcast("fence") }
        var counts: [String: Int] = [:]
        for (id, client) in self.clients {
            for _ in self.servers { _ = try await client.next("fence") }
            let messages = try client.waitingMessages.filter { try Envelope(scanning: $0.payload).event == event }
            if !messages.isEmpty { counts[id] = messages.count }
        }
        return counts
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
