import ArgumentParser
import CrossServerRedis
import CrossServerWire
import Logging
import NIOCore
import ServiceLifecycle

struct Broker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a Redis publish/subscribe server, for development.",
        discussion: """
            Servers on one machine need no Redis: they take --redis and the address that is printed here. It keeps no \
            data and ends with its process; production takes Redis or Valkey. Without a password only this machine may \
            connect.

            Every option can be set in the environment too: --port is CROSSSERVER_PORT. Exit codes: 0 after a graceful \
            stop, 1 when it cannot listen, 64 for a wrong option.
            """
    )

    @Option(help: "Address to listen at. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "Port to listen at; 0 for a free one. (default: 6379)")
    var port: Port?

    @Option(help: "Password that clients must send. Better in the environment: CROSSSERVER_PASSWORD.")
    var password: String?

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment)
        var configuration = EmbeddedBroker.Configuration()
        configuration.host = try environment.value(self.host, for: "host") ?? configuration.host
        configuration.port = try environment.value(self.port, for: "port")?.rawValue ?? configuration.port
        configuration.password = try environment.value(self.password, for: "password")
        let broker = EmbeddedBroker(configuration: configuration, logger: logger)
        let announcer = Announcer {
            try await broker.listening()
            return broker.listeningAddress.map { "listening on \($0.endpoint)" }
        }
        try await runServices([broker, announcer], logger: logger)
    }
}

extension EmbeddedBroker {
    /// Waits until it listens, or until the task is cancelled.
    func listening() async throws {
        while self.listeningAddress == nil { try await Task.sleep(for: .milliseconds(5)) }
    }
}
