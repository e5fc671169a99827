import CrossServerClient

struct Say: Event {
    static let name = "say"
    var msg: String
    struct Reply: Codable, Sendable { var heardBy: Int }
}

let client = try WebSocketConnector(url: "ws://127.0.0.1:9000", parameters: ["id": "42"])
client.on(Say.self) { say in print(say.msg) }
client.on(.close) { close in if close.code.allowsReconnect { client.reconnect() } }
client.on(.open) {
    let reply = try await client.emit(Say(msg: "hello"), onPending: { print("…") })
    print("heard by \(reply.heardBy)")
}
try await client.run()
