import ArgumentParser
import CrossServer
import CrossServerRedis
import Logging
import NIOCore
import ServiceLifecycle

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run three connected servers in one process. Nothing has to be installed.",
        discussion: """
            The servers are serverA, serverB and serverC at three ports in a row, with the handlers of 'crossserver \
            serve'. A broker inside the process connects them. Talk to one with 'crossserver connect \
            ws://127.0.0.1:9000 --id me', and to all with the 'crossserver emit' that is printed.

            Every option can be set in the environment too: --port is CROSSSERVER_PORT. Exit codes: 0 after a graceful \
            stop, 1 when a server cannot listen, 64 for a wrong option.
            """
    )

    @Option(help: "Port of the first server; the others take the next two. 0 for free ones. (default: 9000)")
    var port: Port?

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment)
        let first = try environment.value(self.port, for: "port")?.rawValue ?? 9000
        guard first == 0 || first <= 65_533 else { throw ValidationError("--port \(first) leaves no room for three") }
        var configuration = EmbeddedBroker.Configuration()
        configuration.port = 0
        let broker = EmbeddedBroker(configuration: configuration, logger: logger)
        let servers = DemoServers(broker: broker, firstPort: first, logger: logger)
        try await runServices([broker, servers], logger: logger)
    }
}

/// The servers, which begin when the broker listens.
private struct DemoServers: Service {
    let broker: EmbeddedBroker
    let firstPort: Int
    let logger: Logger

    func run() async throws {
        try await cancelWhenGracefulShutdown { try await self.broker.listening() }
        guard let port = self.broker.listeningAddress?.port else { return }
        let node = "127.0.0.1:\(port)"
        let adapters = try ["serverA", "serverB", "serverC"].enumerated().map { index, name in
            let adapter = WebSocketCrossServerAdapter(
                serverName: name,
                listening: .host("127.0.0.1", port: self.firstPort == 0 ? 0 : self.firstPort + index),
                bus: try RedisBus(nodes: [RedisNode(node)], logger: self.logger),
                logger: self.logger
            )
            adapter.addDemonstrationHandlers()
            adapter.announceListening { "\(name) \($0)" }
            return adapter
        }
        printLine("broker listening on \(node)")
        printLine("try: crossserver emit echo '{\"hello\":1}' --redis \(node)")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for adapter in adapters { group.addTask { try await adapter.run() } }
            defer { group.cancelAll() }
            for try await _ in group {}
        }
    }
}
