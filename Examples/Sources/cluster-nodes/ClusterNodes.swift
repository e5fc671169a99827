import ArgumentParser
import CrossServer
import CrossServerRedis
import Logging
import ServiceLifecycle

struct Say: Event {
    static let name = "say"
    var content: String
    struct Reply: Codable, Sendable { var msg: String }
}

@main
struct ClusterNodes: AsyncParsableCommand {
    @Argument(help: "Names of the servers. No two of a cluster may be the same.")
    var names = ["serverA", "serverB", "serverC"]

    @Option(help: "Redis node, as host:port or URL. May be repeated.")
    var redis = ["127.0.0.1:6379"]

    func run() async throws {
        let servers = try self.names.map { try self.server(named: $0) }
        let group = ServiceGroup(
            services: servers,
            gracefulShutdownSignals: [.sigint, .sigterm],
            logger: Logger(label: "nodes")
        )
        try await group.run()
    }

    private func server(named name: String) throws -> WebSocketCrossServerAdapter {
        let bus = try RedisBus(nodes: self.redis.map { try RedisNode($0) })
        bus.onHealthChange { report in
            let node = "\(report.host):\(report.port)"
            print("\(name): \(report.type) \(report.event) at \(node), \(report.error ?? "no error")")
        }
        bus.onSubscriptionError { error in print("\(name): cannot subscribe \(error.channel): \(error.error)") }

        let server = WebSocketCrossServerAdapter(serverName: name, bus: bus)
        server.onCrossServerEvent(Say.self) { say, sender in
            print("\(name): \(sender) says \(say.content)")
            return Say.Reply(msg: "\(name) heard you")
        }
        return server
    }
}
