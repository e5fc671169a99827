import CrossServer

struct Say: Event {
    static let name = "say"
    var msg: String
    struct Reply: Codable, Sendable { var heardBy: Int }
}

let adapter = WebSocketCrossServerAdapter(serverName: "chat-1", listening: .port(9000))

adapter.onWebSocketEvent(.connection) { socket, request in
    guard let id = request.parameters["id"] else { return socket.close(.authenticationFailed) }
    try adapter.setUserSocket(id, socket)?.close(.replacedByAnotherLogin)
    try await adapter.joinRoom("lobby", in: "chat", id)
}
adapter.onWebSocketEvent(Say.self) { say, socket in
    try adapter.broadcastToRoom("lobby", in: "chat", say, excluding: [socket.id])
    return Say.Reply(heardBy: adapter.socketCount(inRoom: "lobby", in: "chat") - 1)
}
try await adapter.run()
