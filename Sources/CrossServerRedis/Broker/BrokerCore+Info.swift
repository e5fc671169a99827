import CrossServerRESP
import NIOCore

extension BrokerCore {
    /// Of the Redis whose publish/subscribe the broker speaks.
    static let redisVersion = "7.0.0"

    /// Text for people and for clients that look for a line in it.
    static func text(_ text: String) -> RESPValue {
        .verbatimString(format: "txt", ByteBuffer(string: text))
    }

    /// What clients ask before they use a server.
    func info(sections: ArraySlice<ByteBuffer>) -> RESPValue {
        let uptime = (NIODeadline.now() - self.startedAt).nanoseconds / 1_000_000_000
        let all: [(name: String, lines: [String])] = [
            (
                "Server",
                [
                    "redis_version:\(Self.redisVersion)", "server_name:crossserver-embedded-broker",
                    "redis_mode:standalone", "uptime_in_seconds:\(uptime)",
                ]
            ),
            (
                "Clients",
                [
                    "connected_clients:\(self.clients.count)", "maxclients:\(self.limits.maximumConnections)",
                    "pubsub_clients:\(self.clients.values.count { $0.isSubscriber })",
                ]
            ),
            ("Persistence", ["loading:0"]),
            (
                "Stats",
                [
                    "total_commands_processed:\(self.commandCount)",
                    "pubsub_channels:\(self.channels.subscribers.count)",
                    "pubsub_patterns:\(self.patterns.subscribers.count)",
                ]
            ),
            ("Replication", ["role:master", "connected_slaves:0"]),
            ("Cluster", ["cluster_enabled:0"]),
            ("Keyspace", []),
        ]
        let wanted = Set(sections.compactMap(\.lowercasedWord))
        let wantsAll = sections.isEmpty || !wanted.isDisjoint(with: ["all", "default", "everything"])
        return Self.text(
            all.filter { wantsAll || wanted.contains($0.name.lowercased()) }
                .map { "# \($0.name)\r\n" + $0.lines.map { "\($0)\r\n" }.joined() }
                .joined(separator: "\r\n")
        )
    }

    /// COMMAND. What clients learn from it is of no use here, but that there is an answer.
    func describeCommands(_ arguments: [ByteBuffer], for client: BrokerClient) {
        guard arguments.count > 1 else { return self.reply(client, .array([])) }
        switch arguments[1].lowercasedWord {
        case "docs": self.reply(client, .map([]))
        case "count": self.reply(client, .integer(Int64(BrokerCommand.allCases.count)))
        case "info": self.reply(client, .array(arguments.dropFirst(2).map { _ in .null }))
        case "list":
            let names = BrokerCommand.allCases.map { RESPValue.bulkString(ByteBuffer(string: $0.rawValue)) }
            self.reply(client, .array(names))
        default: self.refuseUnknownSubcommand(of: .command, arguments, client)
        }
    }

    /// CONFIG. Nothing is configured that way.
    func configure(_ arguments: [ByteBuffer], for client: BrokerClient) {
        switch arguments[1].lowercasedWord {
        case "get" where arguments.count > 2: self.reply(client, .map([]))
        case "get": self.refuseArity(of: .config, "get", client)
        case "resetstat" where arguments.count == 2: self.reply(client, .simpleString("OK"))
        default: self.refuseUnknownSubcommand(of: .config, arguments, client)
        }
    }
}
