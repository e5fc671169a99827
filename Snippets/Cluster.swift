import CrossServer
import CrossServerRedis

struct Greet: Event {
    static let name = "greet"
    var text: String
    struct Reply: Codable, Sendable { var text: String }
}

let servers = try ["serverA", "serverB"].map { name in
    let server = WebSocketCrossServerAdapter(serverName: name, bus: try RedisBus("redis://127.0.0.1:6379"))
    server.onCrossServerEvent(Greet.self) { greet, sender in Greet.Reply(text: "\(greet.text), \(sender)") }
    return server
}
try await withThrowingTaskGroup { tasks in
    for server in servers { tasks.addTask { try await server.run() } }
    for server in servers { try await server.waitForBus() }
    let asked = CrossServerTarget.servers(["serverA", "serverB", "serverC"])
    let result = try await servers[0].emitCrossServer(Greet(text: "hello"), to: asked, timeout: .seconds(2))
    for (name, reply) in result.replies { print("\(name): \(reply.text)") }
    for missing in result.missing { print("\(missing.server ?? "somebody"): \(missing.reason)") }
    tasks.cancelAll()
}
