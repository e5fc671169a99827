import ArgumentParser
import CrossServer
import CrossServerBus
import CrossServerHummingbird
import CrossServerRedis
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run three connected servers in one process, with a page to try them. Nothing has to be installed.",
        discussion: """
            The servers are serverA, serverB and serverC at three ports in a row, with the handlers of 'crossserver \
            serve'. A broker inside the process connects them, or Redis with --redis. Open the page at the first port: \
            it is a client of all three, and can stop, kill and start each. It takes orders and clients only from pages \
            of this machine.

            Talk to one server with 'crossserver connect ws://127.0.0.1:9000 --id me', and to all with the 'crossserver \
            emit' that is printed.

            Every option can be set in the environment too: --port is CROSSSERVER_PORT. Exit codes: 0 after a graceful \
            stop, 1 when a server cannot listen, 64 for a wrong option.
            """
    )

    @Option(
        help: "Port of the page and the first server; the others take the next two. 0 for free ones. (default: 9000)"
    )
    var port: Port?

    @OptionGroup(title: "Cluster")
    var cluster: ClusterOptions

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment)
        let first = try environment.value(self.port, for: "port")?.rawValue ?? 9000
        guard first == 0 || first <= 65_533 else { throw ValidationError("--port \(first) leaves no room for three") }
        var configuration = WebSocketCrossServerAdapter.Configuration()
        // Pages of this machine, by whatever name; authorize keeps out those of other names that point here.
        configuration.allowedOrigins = ["127.0.0.1", "localhost", "[::1]"]
        configuration.authorize = { request in
            if !SameOrigin.allows(request) { throw UpgradeRejection.forbidden }
        }
        try self.cluster.apply(to: &configuration.cluster, environment)
        var services: [any Service] = []
        let makeBus: @Sendable (String) async throws -> any Bus
        if try self.cluster.makeBus(environment, serverName: DemoCluster.names[0], logger: logger) != nil {
            let options = self.cluster
            makeBus = { name in
                guard let bus = try options.makeBus(OptionEnvironment(), serverName: name, logger: logger) else {
                    throw ValidationError("--redis is missing")
                }
                return bus
            }
        } else {
            let broker = Self.makeBroker(logger)
            services += [broker, Self.announcer(broker)]
            makeBus = { _ in try RedisBus(nodes: [RedisNode(try await Self.node(broker))], logger: logger) }
        }
        let cluster = DemoCluster(firstPort: first, configuration: configuration, logger: logger, makeBus: makeBus)
        services += [cluster, PageServer(cluster, port: first, logger: logger)]
        try await runServices(services, logger: logger)
    }

    private static func makeBroker(_ logger: Logger) -> EmbeddedBroker {
        var configuration = EmbeddedBroker.Configuration()
        configuration.port = 0
        return EmbeddedBroker(configuration: configuration, logger: logger)
    }

    private static func announcer(_ broker: EmbeddedBroker) -> Announcer {
        Announcer {
            let node = try await Self.node(broker)
            return "broker listening on \(node)\ntry: crossserver emit echo '{\"hello\":1}' --redis \(node)"
        }
    }

    /// The broker's address when it listens.
    private static func node(_ broker: EmbeddedBroker) async throws -> String {
        try await broker.listening()
        guard let port = broker.listeningAddress?.port else {
            throw CrossServerError(.busUnavailable, "the broker has stopped")
        }
        return "127.0.0.1:\(port)"
    }
}

extension PageServer {
    /// The page of the demonstration, with the first server's clients on its port.
    fileprivate init(_ cluster: DemoCluster, port: Int, logger: Logger) {
        self.init(
            host: "127.0.0.1",
            port: port,
            webSockets: .http1WebSocketUpgrade { _ in cluster.first },
            nodes: { cluster.nodes },
            health: { cluster.health },
            control: { action, name in try await cluster.carryOut(action, on: name) },
            listening: { port in
                printLine("page: http://127.0.0.1:\(port)/")
                cluster.pageListens(at: port)
            },
            logger: logger
        )
    }
}
