import ArgumentParser
import CrossServerClient

@main
struct SingleClient: AsyncParsableCommand {
    @Option(help: "Port of the server.")
    var port = 9000

    @Option(help: "Id to connect as.")
    var id = "1"

    func run() async throws {
        let client = try WebSocketConnector(
            url: "ws://127.0.0.1:\(self.port)",
            parameters: ["name": "Sam", "id": self.id]
        )

        client.on(.open) {
            print("connected")
            let said = try await client.emit("say", ["msg": "hello"], onPending: { print("waiting for the reply …") })
            print("reply to say: \(said.json)")
            let joined = try await client.emit("joinRoom")
            print("reply to joinRoom: \(joined.json)")
        }

        // A close ends nothing by itself: some codes mean that coming back is of no use.
        client.on(.close) { close in
            print("closed: \(close.code) \(close.reason)")
            if close.code.allowsReconnect { client.reconnect() } else { client.manualClose() }
        }
        client.on(.error) { error in
            print("error: \(error)")
            // A server that refuses who this is refuses it again.
            if (error as? WebSocketConnectorError)?.code == .authenticationFailed { client.manualClose() }
        }
        client.on(.reconnect) { attempt, delay in print("attempt \(attempt) follows in \(delay)") }
        client.on(.repeatLimit) { limit in
            print("gave up after \(limit) attempts")
            client.manualClose()
        }
        client.on(.pong) { roundTrip in print("round trip: \(roundTrip)") }

        client.on("serverSay") { payload in print("serverSay: \(payload.json)") }
        client.on("roomSay") { payload in print("roomSay: \(payload.json)") }

        try await client.run()
    }
}
