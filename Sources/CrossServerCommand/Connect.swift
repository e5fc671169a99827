import ArgumentParser
import CrossServerClient
import Foundation
import HTTPTypes
import Logging
import NIOSSL

struct Connect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk to a server by hand or in a script.",
        usage: "crossserver connect [URL] [options]",
        discussion: """
            On a terminal: type an event and its payload, as in 'say {"msg":"hi"}', to send a request and see the \
            reply; what the server sends by itself is shown as it comes. /help lists the commands. The connection is \
            made again when it is lost, unless the server logged the client out or refused who it is.

            In a pipe: each line is a request. The payload of its reply is printed on standard output, one line per \
            request in their order (null for a reply without a payload); errors go to standard error. What the server \
            sends by itself is not shown, unless --raw. The next line is sent when the reply to the one before is \
            there. A lost connection ends the command.

            The URL and every option can be set in the environment too: --timeout is CROSSSERVER_TIMEOUT. The command \
            line comes first.

            Exit codes: 0 when every request was answered, 1 when there was no connection or it ended, 3 when a \
            request failed, was not answered in time or was not sent, 64 for a wrong option.
            """
    )

    @Argument(help: "ws:// or wss:// URL of the server. (default: ws://127.0.0.1:9000)")
    var url: String?

    @Option(help: "Adds id=… to the URL.")
    var id: String?

    @Option(help: ArgumentHelp("Adds a parameter to the URL. May be repeated.", valueName: "name=value"))
    var param: [String] = []

    @Option(help: ArgumentHelp("Adds a header to the handshake. May be repeated.", valueName: "name: value"))
    var header: [String] = []

    @Option(help: "Seconds to wait for a reply, and for the connection. (default: 5)")
    var timeout: PositiveNumber?

    @Option(help: "Text of the heartbeat. (default: the empty text)")
    var heartbeat: String?

    @Flag(help: "Offer permessage-deflate.")
    var compression = false

    @Option(help: "For wss://: trust the certificates in this file, in PEM, instead of the system's.")
    var ca: String?

    @Flag(help: "For wss://: trust any server. Whoever is between can read and change everything.")
    var insecure = false

    @Flag(help: "Leave when the connection ends.")
    var noReconnect = false

    @Flag(help: "Print every message of the server as it came, instead of events and replies.")
    var raw = false

    @OptionGroup(title: "Logging")
    var logging: LoggingOptions

    func run() async throws {
        // A reader that has gone is an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        let environment = OptionEnvironment()
        let logger = try self.logging.bootstrap(environment)
        let timeout = Duration.seconds(try environment.value(self.timeout, for: "timeout")?.rawValue ?? 5)
        let configuration = try self.connectorConfiguration(environment, timeout: timeout)
        let url = try environment.value(self.url, for: "url") ?? "ws://127.0.0.1:9000"
        let parameters = try self.parameters(environment)
        let client: WebSocketConnector
        do throws(WebSocketConnectorError) {
            client = try WebSocketConnector(
                url: url,
                parameters: parameters,
                configuration: configuration,
                logger: logger
            )
        } catch {
            throw ValidationError(error.message)
        }
        let session = ConnectSession(
            client: client,
            timeout: timeout,
            isRaw: try environment.flag(self.raw, for: "raw")
        )
        let outcome: ConnectSession.Outcome
        if RawTerminal.isPossible {
            let reconnects = try !environment.flag(self.noReconnect, for: "no-reconnect")
            outcome = try await session.runOnTerminal(reconnects: reconnects)
        } else {
            outcome = try await session.runPiped()
        }
        if outcome != .success { throw ExitCode(outcome.rawValue) }
    }

    private func parameters(_ environment: OptionEnvironment) throws -> QueryParameters {
        var parameters = QueryParameters()
        if let id = try environment.value(self.id, for: "id") { parameters.append("id", id) }
        for parameter in self.param {
            guard let equals = parameter.firstIndex(of: "=") else {
                throw ValidationError("--param \(parameter): write name=value")
            }
            parameters.append(String(parameter[..<equals]), String(parameter[parameter.index(after: equals)...]))
        }
        return parameters
    }

    private func connectorConfiguration(
        _ environment: OptionEnvironment,
        timeout: Duration
    ) throws -> WebSocketConnector.Configuration {
        var configuration = WebSocketConnector.Configuration()
        configuration.connectTimeout = timeout
        configuration.pingMessage = try environment.value(self.heartbeat, for: "heartbeat") ?? ""
        configuration.compression = try environment.flag(self.compression, for: "compression") ? .init() : nil
        // Replies and events are for a person or a script to judge.
        configuration.maximumMessageSize = 64 << 20
        for header in self.header {
            let parts = header.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            guard parts.count == 2, let name = HTTPField.Name(parts[0]), HTTPField.isValidValue(parts[1]) else {
                throw ValidationError("--header \(header): write 'name: value'")
            }
            configuration.headers.append(HTTPField(name: name, value: parts[1]))
        }
        let ca: String? = try environment.value(self.ca, for: "ca")
        let isInsecure = try environment.flag(self.insecure, for: "insecure")
        if ca != nil, isInsecure { throw ValidationError("--ca and --insecure exclude each other") }
        var tls = TLSConfiguration.makeClientConfiguration()
        if let ca {
            do {
                tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(ca))
            } catch {
                throw ValidationError("--ca \(ca) cannot be read: \(error)")
            }
        }
        if isInsecure {
            writeAll("Warning: the server's certificate is not checked.\n", to: STDERR_FILENO)
            tls.certificateVerification = .none
        }
        configuration.tls = tls
        return configuration
    }
}
