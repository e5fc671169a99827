import CrossServer
import CrossServerTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct RoomTests {
    /// A server that binds `?id=`.
    private func withClients(
        _ ids: [String],
        configuration: WebSocketCrossServerAdapter.Configuration = .init(),
        _ body: (RunningServer, [String: TestClient]) async throws -> Void
    ) async throws {
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                if let id = request.parameters["id"] { try adapter.setUserSocket(id, socket) }
            }
            adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
        } run: { server in
            var clients: [String: TestClient] = [:]
            for id in ids {
                clients[id] = try await server.connect("/?id=\(id)")
                _ = try await clients[id]?.request("flush")
            }
            try await body(server, clients)
        }
    }

    /// The payloads of the event that each client has got; clients get a last message to know that no more comes.
    private func received(_ event: String, by clients: [String: TestClient]) async throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for (id, client) in clients {
            _ = try await client.request("flush")
            var count = 0
            for message in client.waitingMessages where try Envelope(scanning: message.payload).event == event {
                count += 1
            }
            if count > 0 { counts[id] = count }
        }
        return counts
    }

    @Test func messagesReachExactlyThoseTheyShould() async throws {
        try await self.withClients(["1", "2", "3", "4"]) { server, clients in
            let adapter = server.adapter
            for id in ["1", "2", "3"] { try await adapter.joinRoom("lobby", in: "chat", id) }
            try await adapter.joinRoom("lobby", in: "other", "4")
            try adapter.broadcastToRoom("lobby", in: "chat", "room", ["a": 1])
            try adapter.broadcastToRoom("lobby", in: "chat", "excluding", excluding: ["2", nil, "nobody"])
            try adapter.broadcast("all", localOnly: true)
            #expect(try adapter.toSocketId("4", "one"))
            #expect(try !adapter.toSocketId("nobody", "one"))
            #expect(try adapter.toSocketIds(["1", "4", "1", "nobody"], "some") == 2)
            #expect(try await self.received("room", by: clients) == ["1": 1, "2": 1, "3": 1])
            #expect(try await self.received("excluding", by: clients) == ["1": 1, "3": 1])
            #expect(try await self.received("all", by: clients) == ["1": 1, "2": 1, "3": 1, "4": 1])
            #expect(try await self.received("one", by: clients) == ["4": 1])
            #expect(try await self.received("some", by: clients) == ["1": 1, "4": 1])
            #expect(try await clients["1"]?.nextText() == #"{"event":"room","payload":{"a":1}}"#)
        }
    }

    @Test func queries() async throws {
        try await self.withClients(["1", "2"]) { server, _ in
            let adapter = server.adapter
            for (room, namespace, id) in [
                ("a1", "chat", "1"), ("a2", "chat", "1"), ("b", "chat", "1"), ("a1", "chat", "2"),
                ("x", "chat:vip", "2"),
            ] {
                try await adapter.joinRoom(room, in: namespace, id)
            }
            #expect(adapter.socketCount(inRoom: "a1", in: "chat") == 2)
            #expect(adapter.socketCount(inRoom: "a", in: "chat") == 0)
            #expect(adapter.socketCount(inRoom: "a", in: "chat", matching: .prefix) == 2)
            #expect(adapter.socketCount(in: "chat") == 2)
            #expect(adapter.socketCount(in: "none") == 0)
            #expect(adapter.roomSocketIds(inRoom: "b", in: "chat") == ["1"])
            #expect(adapter.roomSocketIds(in: "chat") == ["1", "2"])
            #expect(adapter.joinedRooms(of: "1") == ["chat": ["a1", "a2", "b"]])
            #expect(adapter.joinedRooms(of: "2", inNamespacesWithPrefix: "chat:") == ["chat:vip": ["x"]])
            #expect(adapter.isJoinedRoom("1", in: "chat", room: "b"))
            #expect(!adapter.isJoinedRoom("2", in: "chat", room: "b"))
            #expect(adapter.isJoinedRoom("2", in: "chat:vip"))
            #expect(!adapter.isJoinedRoom("1", in: "chat:vip"))
            #expect(adapter.roomCount(in: "chat") == 3)
            #expect(adapter.roomCount(in: "chat", matching: .prefix) == 4)
            #expect(Set(adapter.roomIds(in: "chat")) == ["a1", "a2", "b"])
            #expect(Set(adapter.roomIds(in: "chat", matching: .prefix)) == ["a1", "a2", "b", "x"])
            #expect(Set(adapter.socketIds) == ["1", "2"])
            #expect(adapter.socketClientCount == 2)
            #expect(adapter.leaveRoom("b", in: "chat", "1"))
            #expect(!adapter.leaveRoom("b", in: "chat", "1"))
            try adapter.removeRoom("a1", in: "chat")
            #expect(adapter.joinedRooms(of: "1") == ["chat": ["a2"]])
            #expect(adapter.joinedRooms(of: "2") == ["chat:vip": ["x"]])
        }
    }

    @Test func roomsMayBeRemovedByTheirLastMessage() async throws {
        try await self.withClients(["1"]) { server, clients in
            try await server.adapter.joinRoom("r", in: "chat", "1")
            try server.adapter.broadcastToRoom("r", in: "chat", "bye", removingRoom: true)
            #expect(try await self.received("bye", by: clients) == ["1": 1])
            #expect(server.adapter.statistics.rooms == 0)
            #expect(server.adapter.statistics.namespaces == 0)
        }
    }

    @Test func theStaleCloseOfAReplacedConnectionUnbindsNothing() async throws {
        try await self.withClients(["7"]) { server, clients in
            let adapter = server.adapter
            try await adapter.joinRoom("r", in: "chat", "7")
            let first = try #require(adapter.socket(forID: "7"))
            let second = try await server.connect("/?id=7")
            _ = try await second.request("flush")
            #expect(first.id == nil)
            clients["7"]?.close()
            _ = try await clients["7"]?.closed()
            try await eventually { adapter.socketClientCount == 1 }
            #expect(try adapter.toSocketId("7", "direct", 1))
            #expect(try await second.next("direct") == 1)
            try adapter.broadcastToRoom("r", in: "chat", "room", 2)
            #expect(try await second.next("room") == 2)
        }
    }

    @Test func everythingGoesWithTheConnection() async throws {
        try await self.withClients(["1", "2"]) { server, clients in
            let adapter = server.adapter
            for id in ["1", "2"] {
                for room in 0..<20 { try await adapter.joinRoom("\(room)", in: "n\(room % 4)", id) }
            }
            clients["1"]?.close()
            clients["2"]?.terminate()
            try await eventually { adapter.socketClientCount == 0 }
            let statistics = adapter.statistics
            #expect(statistics.rooms == 0 && statistics.namespaces == 0 && statistics.boundIds == 0)
            await #expect(throws: CrossServerError.self) { try await adapter.joinRoom("r", in: "chat", "1") }
        }
    }

    @Test func removingAnIdKeepsTheConnection() async throws {
        try await self.withClients(["1"]) { server, clients in
            let adapter = server.adapter
            try await adapter.joinRoom("r", in: "chat", "1")
            let socket = try #require(adapter.socket(forID: "1"))
            adapter.removeUserSocket("1")
            #expect(socket.id == nil && socket.isOpen)
            #expect(adapter.statistics.rooms == 0)
            try adapter.setUserSocket("one", socket)
            #expect(try adapter.toSocketId("one", "e", 1))
            #expect(try await clients["1"]?.next("e") == 1)
        }
    }

    @Test func broadcastsMayKeepToIdentifiedClients() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.broadcastReach = .identifiedOnly
        try await self.withClients(["1"], configuration: configuration) { server, clients in
            let stranger = try await server.connect()
            _ = try await stranger.request("flush")
            try server.adapter.broadcast("all")
            let all = clients.merging(["": stranger]) { $1 }
            #expect(try await self.received("all", by: all) == ["1": 1])
        }
    }

    @Test(arguments: ["", String(repeating: "x", count: 257)])
    func namesAreBounded(name: String) async throws {
        try await self.withClients(["1"]) { server, _ in
            let adapter = server.adapter
            let socket = try #require(adapter.socket(forID: "1"))
            for call in [
                { try adapter.joinRoomWithoutWaiting(name, in: "chat", "1") },
                { try adapter.joinRoomWithoutWaiting("r", in: name, "1") },
                { _ = try adapter.setUserSocket(name, socket) },
            ] {
                let error = #expect(throws: CrossServerError.self, performing: call)
                #expect(error?.code == .invalidName)
            }
        }
    }

    @Test func roomsPerClientAreBounded() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumRoomsPerClient = 3
        try await self.withClients(["1"], configuration: configuration) { server, _ in
            for room in 0..<3 { try await server.adapter.joinRoom("\(room)", in: "chat", "1") }
            let error = await #expect(throws: CrossServerError.self) {
                try await server.adapter.joinRoom("3", in: "chat", "1")
            }
            #expect(error?.code == .tooManyRooms)
        }
    }

    /// Threads that are not the event loops' keep the order of one sender.
    @Test func messagesOfOneSenderKeepTheirOrder() async throws {
        try await self.withClients(["1", "2", "3"]) { server, clients in
            let adapter = server.adapter
            for id in ["1", "2", "3"] { try await adapter.joinRoom("r", in: "chat", id) }
            for number in 0..<3_000 {
                switch number % 3 {
                case 0: try adapter.broadcast("n", Payload(number))
                case 1: try adapter.broadcastToRoom("r", in: "chat", "n", Payload(number))
                default: try adapter.toSocketIds(["1", "2", "3"], "n", Payload(number))
                }
                if number % 100 == 0 { await Task.yield() }
            }
            for client in clients.values {
                for number in 0..<3_000 { #expect(try await client.next("n") == Payload(number)) }
            }
        }
    }
}
