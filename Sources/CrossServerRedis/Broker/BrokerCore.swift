import CrossServerRESP
import CrossServerWire
import Logging
import NIOCore

/// What the broker knows and does, without input and output: commands go in, and replies and messages into the queues of
/// the clients.
final class BrokerCore {
    let configuration: EmbeddedBroker.Configuration
    let logger: Logger
    let startedAt = NIODeadline.now()
    /// By number.
    private(set) var clients: [Int: BrokerClient] = [:]
    private var lastClientID = 0
    private(set) var commandCount = 0
    var channels = BrokerSubscriptions()
    var patterns = BrokerSubscriptions()
    let memory = BrokerMemory()
    var message: BrokerMessage
    /// Clients with something to write or to close. ``takeChanged()`` empties it.
    private var changed: [BrokerClient] = []
    /// Called when the first client is changed.
    var onChange: (BrokerCore) -> Void = { _ in }

    /// - Parameter configuration: valid.
    init(configuration: EmbeddedBroker.Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        self.message = BrokerMessage(self.memory)
    }

    var limits: EmbeddedBroker.Limits { self.configuration.limits }

    // MARK: Clients

    /// - Returns: a client that has been refused already when there are too many.
    func connect(address: String, localAddress: String, isLocal: Bool) -> BrokerClient {
        self.lastClientID += 1
        let client = BrokerClient(
            id: self.lastClientID,
            address: address,
            localAddress: localAddress,
            isAuthenticated: self.configuration.password == nil,
            memory: self.memory
        )
        if self.clients.count >= self.limits.maximumConnections {
            self.logger.notice("too many connections", metadata: ["maximum": "\(self.limits.maximumConnections)"])
            self.fail(client, "ERR max number of clients reached")
            self.close(client, .afterReplies)
        } else if !isLocal, self.configuration.password == nil {
            self.logger.notice("refused a client of another machine", metadata: ["address": "\(address)"])
            self.fail(client, "DENIED the broker has no password: only clients of the same machine are let in")
            self.close(client, .afterReplies)
        }
        self.clients[client.id] = client
        return client
    }

    /// The connection is gone.
    func disconnect(_ client: BrokerClient) {
        client.closing = .atOnce
        self.letGo(client)
        client.connection = nil
        self.clients[client.id] = nil
    }

    /// What the parser lets through of a client's commands.
    func parserLimits(for client: BrokerClient) -> RESPLimits {
        var limits = RESPLimits()
        if client.isAuthenticated {
            limits.maximumBulkLength = self.limits.maximumMessageSize
            limits.maximumLength = self.limits.maximumMessageSize + (1 << 20)
            // As Redis has it: too many channels are refused, and the connection stays.
            limits.maximumElements = 1 << 20
        } else {
            limits.maximumBulkLength = 16_384
            limits.maximumLength = 32_768
            limits.maximumLineLength = 16_384
            limits.maximumElements = 10
        }
        return limits
    }

    func takeChanged() -> [BrokerClient] {
        defer { self.changed.removeAll(keepingCapacity: true) }
        for client in self.changed { client.isListed = false }
        return self.changed
    }

    private func list(_ client: BrokerClient) {
        guard !client.isListed else { return }
        client.isListed = true
        if self.changed.isEmpty { self.onChange(self) }
        self.changed.append(client)
    }

    // MARK: Output

    func reply(_ client: BrokerClient, _ value: RESPValue) {
        guard client.closing == .no else { return }
        client.output.append(value, version: client.version)
        self.wrote(client)
    }

    func fail(_ client: BrokerClient, _ message: String) {
        self.reply(client, .simpleError(message))
    }

    func wrote(_ client: BrokerClient) {
        if client.output.byteCount > self.limits.maximumPendingBytes {
            self.logger.warning(
                "closing a client that does not read fast enough",
                metadata: ["client": "\(client.id)", "address": "\(client.address)"]
            )
            self.close(client, .atOnce)
        }
        self.keepBound()
        self.list(client)
    }

    /// The client has sent so much that is not read yet.
    func holdsInput(_ bytes: Int, _ client: BrokerClient) {
        guard bytes != client.inputBytes, client.closing != .atOnce else { return }
        self.memory.add(bytes - client.inputBytes)
        client.inputBytes = bytes
        self.keepBound()
    }

    /// Closes those that hold the most while all together hold too much.
    func keepBound() {
        while self.memory.used > self.limits.maximumTotalBytes {
            let open = self.clients.values.filter { $0.closing != .atOnce && $0.heldBytes > 0 }
            guard let largest = open.max(by: { $0.heldBytes < $1.heldBytes }) else { return }
            self.logger.warning(
                "closing the client that holds the most: all together hold too much",
                metadata: [
                    "client": "\(largest.id)", "address": "\(largest.address)", "bytes": "\(largest.heldBytes)",
                    "maximum": "\(self.limits.maximumTotalBytes)",
                ]
            )
            self.close(largest, .atOnce)
        }
    }

    private func letGo(_ client: BrokerClient) {
        self.unsubscribeFromAll(client)
        client.output.removeAll()
        self.memory.remove(client.inputBytes)
        client.inputBytes = 0
    }

    func close(_ client: BrokerClient, _ closing: BrokerClient.Closing) {
        client.closing = max(client.closing, closing)
        if closing == .atOnce { self.letGo(client) }
        self.list(client)
    }

    // MARK: Commands

    /// The client sent what is not of the protocol.
    func refuse(_ client: BrokerClient, _ error: RESPError) {
        var text = error.description
        if case .limitExceeded = error, !client.isAuthenticated, text.hasPrefix("invalid ") {
            text = "unauthenticated " + text.dropFirst("invalid ".count)
        }
        self.logger.debug("protocol error", metadata: ["client": "\(client.id)", "error": "\(LogText(text))"])
        self.fail(client, "ERR Protocol error: \(text)")
        self.close(client, .afterReplies)
    }

    /// - Parameter arguments: the name of the command and what follows, at least one.
    func execute(_ arguments: [ByteBuffer], for client: BrokerClient) {
        guard client.closing == .no else { return }
        self.commandCount += 1
        client.lastCommandAt = .now()
        guard let command = BrokerCommand(name: arguments[0]) else { return self.refuseUnknown(arguments, client) }
        client.lastCommand = command
        guard command.accepts(argumentCount: arguments.count) else {
            return self.fail(client, "ERR wrong number of arguments for '\(command.rawValue)' command")
        }
        guard client.isAuthenticated || !command.needsAuthentication else {
            return self.fail(client, "NOAUTH Authentication required.")
        }
        guard command.isAllowedForSubscribers || client.version == .resp3 || !client.isSubscriber else {
            return self.fail(client, Self.notForSubscribers(command, arguments))
        }
        self.execute(command, arguments, for: client)
    }

    private func execute(_ command: BrokerCommand, _ arguments: [ByteBuffer], for client: BrokerClient) {
        switch command {
        case .publish: self.publish(arguments[2], to: arguments[1], for: client)
        case .subscribe: self.subscribe(to: arguments.dropFirst(), for: client)
        case .unsubscribe: self.unsubscribe(from: arguments.dropFirst(), for: client)
        case .psubscribe: self.subscribe(toPatterns: arguments.dropFirst(), for: client)
        case .punsubscribe: self.unsubscribe(fromPatterns: arguments.dropFirst(), for: client)
        case .pubsub: self.describeSubscriptions(arguments, for: client)
        case .ping: self.ping(arguments, for: client)
        case .echo: self.reply(client, .bulkString(arguments[1]))
        case .auth: self.authenticate(arguments, for: client)
        case .hello: self.hello(arguments, for: client)
        case .client: self.manageClients(arguments, for: client)
        case .select: self.select(arguments[1], for: client)
        case .info: self.reply(client, self.info(sections: arguments.dropFirst()))
        case .command: self.describeCommands(arguments, for: client)
        case .config: self.configure(arguments, for: client)
        case .reset: self.reset(client)
        case .role: self.reply(client, .array([.bulkString(ByteBuffer(string: "master")), .integer(0), .array([])]))
        case .quit:
            self.reply(client, .simpleString("OK"))
            self.close(client, .afterReplies)
        }
    }

    private static func notForSubscribers(_ command: BrokerCommand, _ arguments: [ByteBuffer]) -> String {
        var name = command.rawValue
        let hasSubcommands = [.client, .config, .pubsub].contains(command)
        if hasSubcommands, let subcommand = arguments[1].lowercasedWord { name += "|\(subcommand)" }
        return "ERR Can't execute '\(name)': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
            + "in this context"
    }

    private func refuseUnknown(_ arguments: [ByteBuffer], _ client: BrokerClient) {
        let name = String(buffer: arguments[0])
        // A browser was made to send an HTTP request here: none of what it holds must be taken for a command.
        if name.lowercased() == "post" || name.lowercased() == "host:" {
            self.logger.warning("closing a connection that speaks HTTP", metadata: ["address": "\(client.address)"])
            return self.close(client, .atOnce)
        }
        let longest = 128
        var shown = ""
        for argument in arguments.dropFirst() {
            guard shown.utf8.count < longest else { break }
            shown += "'\(String(buffer: argument.prefix(longest - shown.utf8.count)))' "
        }
        let shownName = String(buffer: arguments[0].prefix(longest))
        self.fail(client, "ERR unknown command '\(shownName)', with args beginning with: \(shown)")
    }

    func refuseUnknownSubcommand(of command: BrokerCommand, _ arguments: [ByteBuffer], _ client: BrokerClient) {
        let shown = String(buffer: arguments[1].prefix(128))
        self.fail(client, "ERR unknown subcommand '\(shown)'. Try \(command.rawValue.uppercased()) HELP.")
    }

    func refuseArity(of command: BrokerCommand, _ subcommand: String, _ client: BrokerClient) {
        self.fail(client, "ERR wrong number of arguments for '\(command.rawValue)|\(subcommand)' command")
    }
}

@available(*, unavailable)
extension BrokerCore: Sendable {}

extension ByteBuffer {
    /// The first bytes, as many as there are up to the number.
    fileprivate func prefix(_ count: Int) -> ByteBuffer {
        // Never more than is readable.
        self.getSlice(at: self.readerIndex, length: Swift.min(count, self.readableBytes)) ?? ByteBuffer()
    }
}
