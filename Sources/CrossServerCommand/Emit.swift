import ArgumentParser
import CrossServer
import CrossServerRedis
import Foundation
import Logging
import ServiceLifecycle
import Synchronization

struct Emit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send an event to servers and print their replies.",
        usage: "crossserver emit EVENT [JSON] --redis NODE [options]",
        discussion: """
            Prints one line of JSON on standard output for each reply as it comes: {"server":…,"reply":…}. Who did not \
            answer, and why, goes to standard error.

            Without --to every server is asked; then as many replies are expected as servers hear the event.

            Every option can be set in the environment too: --redis is CROSSSERVER_REDIS, with spaces between nodes.

            Exit codes: 0 when all expected replies came, 1 when nothing could be sent, 3 when a reply is missing or \
            says that the request failed, 64 for a wrong option.
            """
    )

    @Argument(help: "Name of the event.")
    var event: String

    @Argument(help: "Payload, as JSON. (default: none)")
    var json: String?

    @Option(help: ArgumentHelp("Server that is asked. May be repeated. (default: all)", valueName: "name"))
    var to: [String] = []

    @Option(help: "Replies that end the waiting. (default: as many as servers are asked)")
    var expect: PositiveCount?

    @Option(help: "Milliseconds to wait, for the Redis node and for the replies. (default: 5000)")
    var timeout: PositiveCount?

    @Flag(help: "Wait for no reply.")
    var noReply = false

    @OptionGroup(title: "Cluster")
    var cluster: ClusterOptions

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment, standard: .error)
        let payload = try self.payload()
        let name = "emit-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: .min ... .max))"
        guard let bus = try self.cluster.makeBus(environment, serverName: name, logger: logger) else {
            throw ValidationError("--redis is missing: a Redis node that the servers use")
        }
        var configuration = WebSocketCrossServerAdapter.Configuration()
        try self.cluster.apply(to: &configuration.cluster, environment)
        // Said before anything is connected.
        if configuration.cluster.encoding == .messagePack {
            do {
                _ = try payload.messagePack()
            } catch {
                throw ValidationError("the payload cannot be sent: \(error)")
            }
        }
        configuration.cluster.isObserver = true
        let adapter = WebSocketCrossServerAdapter(
            serverName: name,
            bus: bus,
            configuration: configuration,
            logger: logger
        )
        let milliseconds = try environment.value(self.timeout, for: "timeout")?.rawValue ?? 5_000
        let outcome = Outcome()
        let sender = OneShot {
            outcome.isComplete = try await self.send(payload, adapter, timeout: .milliseconds(milliseconds))
        }
        try await runServices([adapter], until: sender, logger: logger)
        if !outcome.isComplete { throw ExitCode(3) }
    }

    private func payload() throws -> Payload {
        guard let json = self.json else { return .absent }
        do {
            return try Payload(json: json)
        } catch {
            throw ValidationError("The payload is no JSON: \(error)")
        }
    }

    /// - Returns: whether everyone answered who was expected to.
    private func send(
        _ payload: Payload,
        _ adapter: WebSocketCrossServerAdapter,
        timeout: Duration
    ) async throws -> Bool {
        try await adapter.waitForBus(within: timeout)
        let target: CrossServerTarget = self.to.isEmpty ? .all : .servers(self.to)
        if self.noReply {
            try await adapter.emitCrossServerConfirmed(self.event, payload, to: target, exceptSelf: true)
            return true
        }
        let responses = try adapter.crossServerReplies(
            self.event,
            payload,
            to: target,
            expecting: self.expect?.rawValue,
            exceptSelf: true,
            timeout: timeout
        )
        var isComplete = true
        for await response in responses {
            switch response {
            case .reply(let server, let payload, _):
                printLine(TerminalText.line(json: (["server": Payload(server), "reply": payload] as Payload).json))
            case .missing(let missing):
                isComplete = false
                printError("\(missing.server ?? "a server"): \(missing.reason)")
            }
        }
        if !isComplete {
            for link in adapter.busLinks where link.problem != nil { printError("\(link)") }
        }
        return isComplete
    }
}

/// What one service tells the code behind the group.
private final class Outcome: Sendable {
    private let state = Mutex(false)

    var isComplete: Bool {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }
}

/// A service that does one thing, and stops when a graceful shutdown begins.
private struct OneShot: Service {
    let body: @Sendable () async throws -> Void

    func run() async throws {
        try await cancelWhenGracefulShutdown { try await self.body() }
    }
}
