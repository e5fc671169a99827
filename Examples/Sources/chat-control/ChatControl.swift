import ArgumentParser
import Chat
import CrossServerClient

/// A client that orders its server to say something to others, wherever they are connected.
@main
struct ChatControl: AsyncParsableCommand {
    @Option(help: "Port of a server.")
    var port = 9000

    @Option(help: "Id to connect as.")
    var id = "555"

    @Option(help: "Seconds between commands.")
    var interval = 3.0

    func run() async throws {
        let client = try WebSocketConnector(url: "ws://127.0.0.1:\(self.port)", parameters: ["id": self.id])
        let opened = AsyncStream<Void>.makeStream()
        client.on(.open) { opened.continuation.yield() }
        client.on(.close) { close in
            say("closed: \(close.code) \(close.reason)")
            client.manualClose()
            opened.continuation.finish()
        }
        client.on(Say.self) { message in say("\(self.id) hears \(message.action): \(message.msg)") }

        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await client.run() }
            for await _ in opened.stream { break }
            for command in self.commands {
                do {
                    let reply = try await client.emit(command)
                    say("\(command.action): \(reply.msg)")
                } catch {
                    say("\(command.action) failed: \(error)")
                }
                try await Task.sleep(for: .seconds(self.interval))
            }
            client.manualClose()
            try await tasks.waitForAll()
        }
    }

    private var commands: [Command] {
        [
            Command(.broadcast, msg: "hello everyone"),
            Command(.toPlayer, msg: "hello client 13", toPlayerId: "13"),
            Command(.toPlayers, msg: "hello you four", toPlayerIds: ["3", "10", "25", "37"]),
            Command(.toRoom, msg: "hello room 1000", roomId: "1000"),
        ]
    }
}
