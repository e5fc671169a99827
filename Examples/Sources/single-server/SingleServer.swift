import ArgumentParser
import CrossServer

@main
struct SingleServer: AsyncParsableCommand {
    @Option(help: "Port to listen at.")
    var port = 9000

    @Option(help: "Seconds between messages to everyone.")
    var broadcastInterval = 15.0

    @Option(help: "Seconds between messages to the room.")
    var roomInterval = 10.0

    func run() async throws {
        let adapter = WebSocketCrossServerAdapter(listening: .host("127.0.0.1", port: self.port))

        adapter.onWebSocketEvent(.listening) { address in print("listening on port \(address.port ?? 0)") }

        adapter.onWebSocketEvent(.connection) { socket, request in
            // A real server checks a token here, or before the upgrade in `Configuration.authorize`.
            guard let id = request.parameters["id"] else { return socket.close(.authenticationFailed) }
            try adapter.setUserSocket(id, socket)?.close(.replacedByAnotherLogin)
            print("\(id) connected, named \(request.parameters["name"] ?? "nothing")")
        }

        // The id is released, and its rooms are left, without any code here.
        adapter.onWebSocketEvent(.close) { socket, _, code, reason in
            print("\(socket.id ?? "somebody") has gone: \(code) \(reason)")
        }

        adapter.onWebSocketEvent("say") { socket, payload, reply in
            print("\(socket.id ?? "?") says \(payload.json)")
            reply?(["msg": "the server heard you"])
        }

        adapter.onWebSocketEvent("joinRoom") { socket, _, reply in
            guard let id = socket.id else { return }
            try await adapter.joinRoom("1000", in: "testRoom", id)
            reply?(["msg": "you are in the room"])
        }

        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await adapter.run() }
            tasks.addTask {
                try await self.every(self.broadcastInterval) {
                    try adapter.broadcast("serverSay", ["msg": "this goes to everyone"])
                }
            }
            tasks.addTask {
                try await self.every(self.roomInterval) {
                    try adapter.broadcastToRoom("1000", in: "testRoom", "roomSay", ["msg": "this goes to the room"])
                }
            }
            // The server ends first, by an error; the timers end with it.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func every(_ seconds: Double, _ body: @Sendable () throws -> Void) async throws {
        while true {
            try await Task.sleep(for: .seconds(seconds))
            try body()
        }
    }
}
