import ArgumentParser
import CrossServer
import CrossServerRedis

struct Say: Event {
    static let name = "say"
    var content: String
    struct Reply: Codable, Sendable { var msg: String }
}

@main
struct ClusterSender: AsyncParsableCommand {
    @Option(help: "Name of this server.")
    var name = "senderA"

    @Option(help: "Redis node, as host:port or URL. May be repeated.")
    var redis = ["127.0.0.1:6379"]

    @Option(help: "Server that is asked. May be repeated; all are by default.")
    var to: [String] = []

    @Flag(help: "Do not ask this server itself.")
    var exceptSelf = false

    @Option(help: "Seconds to wait for replies.")
    var timeout = 2.0

    func run() async throws {
        let bus = try RedisBus(nodes: self.redis.map { try RedisNode($0) })
        let server = WebSocketCrossServerAdapter(serverName: self.name, bus: bus)
        // What this server sends to all it handles too, without Redis.
        server.onCrossServerEvent(Say.self) { say, sender in
            print("\(sender) says \(say.content)")
            return Say.Reply(msg: "\(server.serverName) heard you")
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await server.run() }
            tasks.addTask { try await self.talk(server) }
            // The server ends first only with an error.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func talk(_ server: WebSocketCrossServerAdapter) async throws {
        let target = self.to.isEmpty ? CrossServerTarget.all : .servers(self.to)
        let timeout = Duration.seconds(self.timeout)
        try await server.waitForBus()

        // Nobody answers.
        try server.emitCrossServer(Say(content: "hello"), to: target, exceptSelf: self.exceptSelf)

        // Replies one by one, as they come.
        let responses = try server.crossServerReplies(
            Say.name,
            Payload(encoding: Say(content: "please answer")),
            to: target,
            exceptSelf: self.exceptSelf,
            timeout: timeout
        )
        for await response in responses {
            switch response {
            case .reply(let name, let payload, let remaining):
                let reply = try payload.decode(Say.Reply.self)
                print("\(name) answers: \(reply.msg); \(remaining.map { "\($0)" } ?? "?") to come")
            case .missing(let missing):
                print("no answer from \(missing.server ?? "somebody"): \(missing.reason)")
            }
        }

        // All replies together.
        let result = try await server.emitCrossServer(
            Say(content: "please answer all"),
            to: target,
            exceptSelf: self.exceptSelf,
            timeout: timeout
        )
        let names = result.replies.keys.sorted().joined(separator: ", ")
        print("\(result.isComplete ? "all" : "some") have answered: \(names)")
    }
}
