import ArgumentParser
import CrossServer
import CrossServerRedis
import Logging

/// How a command reaches the servers of a cluster.
struct ClusterOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Redis node, as host:port or URL. May be repeated: a server uses all of them.",
            valueName: "node"
        )
    )
    var redis: [String] = []

    @Option(help: "Which Redis node a message goes over: random, round-robin or fastest. (default: random)")
    var strategy: StrategyName?

    @Option(
        help: ArgumentHelp(
            "Longest wait between attempts to reach a Redis node. Raise it when very many servers share one. (default: 500)",
            valueName: "ms"
        )
    )
    var redisReconnectDelay: PositiveCount?

    @Flag(help: "Write JSON to other servers instead of MessagePack. Both are always understood.")
    var jsonBus = false

    @Option(help: "Begins the channels between servers. (default: csbp:)")
    var bridgePrefix: String?

    @Option(help: "Begins the channels of clients' messages. (default: ws:)")
    var wsPrefix: String?

    func apply(
        to configuration: inout WebSocketCrossServerAdapter.Configuration.Cluster,
        _ environment: OptionEnvironment
    ) throws {
        // As on one server: a second connection with an id replaces the first.
        configuration.uniqueIds = .replacing
        if try environment.flag(self.jsonBus, for: "json-bus") { configuration.encoding = .json }
        if let prefix = try environment.value(self.bridgePrefix, for: "bridge-prefix") {
            configuration.bridgePrefix = prefix
        }
        if let prefix = try environment.value(self.wsPrefix, for: "ws-prefix") {
            configuration.webSocketPrefix = prefix
        }
    }

    /// - Returns: nil when there is no Redis node.
    /// - Throws: an error that says which value is wrong.
    func makeBus(_ environment: OptionEnvironment, serverName: String, logger: Logger) throws -> RedisBus? {
        let urls = self.redis.isEmpty ? environment.words("redis") : self.redis
        guard !urls.isEmpty else { return nil }
        var configuration = RedisBus.Configuration()
        configuration.serverName = serverName
        if let name = try environment.value(self.strategy, for: "strategy") { configuration.strategy = name.strategy }
        if let delay = try environment.value(self.redisReconnectDelay, for: "redis-reconnect-delay") {
            configuration.reconnectMaximumDelay = .milliseconds(delay.rawValue)
        }
        do throws(BusError) {
            var nodes: [RedisNode] = []
            for url in urls { nodes.append(try RedisNode(url)) }
            return try RedisBus(nodes: nodes, configuration: configuration, logger: logger)
        } catch {
            throw ValidationError("--redis: \(error.message)")
        }
    }
}

/// A strategy by its name.
struct StrategyName: ExpressibleByArgument {
    let strategy: SelectionStrategy

    init?(argument: String) {
        guard let strategy = SelectionStrategy(argument) else { return nil }
        self.strategy = strategy
    }

    static var allValueStrings: [String] {
        [SelectionStrategy.random, .roundRobin, .fastest].map(\.description)
    }
}
