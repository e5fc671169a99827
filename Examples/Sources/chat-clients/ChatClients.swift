import ArgumentParser
import Chat
import CrossServerClient

/// Simulated clients with the ids 1, 2, 3, …, each of which connects to any of the servers.
@main
struct ChatClients: AsyncParsableCommand {
    @Option(help: "How many clients.")
    var count = 50

    @Option(help: "Port of a server. May be repeated.")
    var port = [9000, 9001, 9002, 9003, 9004]

    @Option(help: "How many of them join a room.")
    var joining = 10

    @Option(help: "Room that a client may join. May be repeated.")
    var room = ["1000", "1001", "1002"]

    func run() async throws {
        let joining = Set((1...self.count).shuffled().prefix(self.joining))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for id in 1...self.count {
                let client = try self.client(id, room: joining.contains(id) ? self.room.randomElement() : nil)
                tasks.addTask { try await client.run() }
            }
            try await tasks.waitForAll()
        }
    }

    func validate() throws {
        guard self.count > 0, self.joining >= 0, !self.port.isEmpty, !self.room.isEmpty else {
            throw ValidationError("there must be a client, a port and a room")
        }
    }

    private func client(_ id: Int, room: String?) throws -> WebSocketConnector {
        let port = self.port.randomElement() ?? 9000
        let client = try WebSocketConnector(url: "ws://127.0.0.1:\(port)", parameters: ["id": "\(id)"])

        client.on(.open) {
            say("client \(id) is connected to port \(port)")
            // Rooms are left with a connection, and joined again with the next.
            guard let room else { return }
            do {
                let reply = try await client.emit(JoinRoom(roomId: room))
                say("client \(id) joined room \(room): \(reply.msg)")
            } catch {
                say("client \(id) could not join room \(room): \(error)")
            }
        }
        client.on(.close) { close in
            say("client \(id) is closed: \(close.code) \(close.reason)")
            if close.code.allowsReconnect { client.reconnect() } else { client.manualClose() }
        }
        client.on(Say.self) { message in
            say("client \(id) hears \(message.action): \(message.msg)")
        }
        return client
    }
}
