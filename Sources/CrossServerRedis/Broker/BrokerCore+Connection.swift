import CrossServerRESP
import NIOCore

extension BrokerCore {
    private static let wrongPassword = "WRONGPASS invalid username-password pair or user is disabled."

    /// AUTH
    func authenticate(_ arguments: [ByteBuffer], for client: BrokerClient) {
        guard arguments.count <= 3 else { return self.fail(client, "ERR syntax error") }
        if arguments.count == 2, self.configuration.password == nil {
            return self.fail(
                client,
                "ERR AUTH <password> called without any password configured for the default user. "
                    + "Are you sure your configuration is correct?"
            )
        }
        let username = arguments.count == 3 ? arguments[1] : ByteBuffer(string: "default")
        guard self.isRight(username: username, password: arguments[arguments.count - 1]) else {
            return self.fail(client, Self.wrongPassword)
        }
        client.isAuthenticated = true
        self.reply(client, .simpleString("OK"))
    }

    /// Without a password any is right for the user, as Redis has it.
    private func isRight(username: ByteBuffer, password: ByteBuffer) -> Bool {
        let isUser = Self.isEqual(username, self.configuration.username)
        let isPassword = self.configuration.password.map { Self.isEqual(password, $0) } ?? true
        return isUser && isPassword
    }

    /// Takes as long for a wrong secret as for the right one.
    private static func isEqual(_ bytes: ByteBuffer, _ secret: String) -> Bool {
        var difference = bytes.readableBytes ^ secret.utf8.count
        for (first, second) in zip(bytes.readableBytesView, secret.utf8) { difference |= Int(first ^ second) }
        return difference == 0
    }

    /// HELLO [version [AUTH username password] [SETNAME name]]
    func hello(_ arguments: [ByteBuffer], for client: BrokerClient) {
        var version = client.version
        if arguments.count > 1 {
            guard let number = Int(String(buffer: arguments[1])) else {
                return self.fail(client, "ERR Protocol version is not an integer or out of range")
            }
            guard let wanted = RESPVersion(rawValue: number) else {
                return self.fail(client, "NOPROTO unsupported protocol version")
            }
            version = wanted
        }
        var credentials: (username: ByteBuffer, password: ByteBuffer)?
        var name: String?
        var options = arguments.dropFirst(2)
        while let option = options.popFirst() {
            switch option.lowercasedWord {
            case "auth" where options.count >= 2:
                credentials = (options.removeFirst(), options.removeFirst())
            case "setname" where !options.isEmpty:
                guard let wanted = Self.validName(options.removeFirst()) else { return self.refuseName(client) }
                name = wanted
            default:
                return self.fail(client, "ERR Syntax error in HELLO option '\(String(buffer: option))'")
            }
        }
        if let credentials {
            guard self.isRight(username: credentials.username, password: credentials.password) else {
                return self.fail(client, Self.wrongPassword)
            }
            client.isAuthenticated = true
        }
        guard client.isAuthenticated else {
            return self.fail(
                client,
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
                    + "<user> <pass> option can be used to authenticate the client and select the RESP protocol "
                    + "version at the same time"
            )
        }
        client.version = version
        if let name { client.name = name }
        self.greet(client)
    }

    private func greet(_ client: BrokerClient) {
        func entry(_ key: String, _ value: RESPValue) -> RESPMapEntry {
            RESPMapEntry(key: .bulkString(ByteBuffer(string: key)), value: value)
        }
        func text(_ text: String) -> RESPValue { .bulkString(ByteBuffer(string: text)) }

        self.reply(
            client,
            .map([
                entry("server", text("redis")),
                entry("version", text(Self.redisVersion)),
                entry("proto", .integer(Int64(client.version.rawValue))),
                entry("id", .integer(Int64(client.id))),
                entry("mode", text("standalone")),
                entry("role", text("master")),
                entry("modules", .array([])),
            ])
        )
    }

    /// Names have no spaces and line ends, since lists of clients are text.
    static func validName(_ name: ByteBuffer) -> String? {
        guard name.readableBytes <= 1_024 else { return nil }
        let isPrintable = name.readableBytesView.allSatisfy { $0 >= UInt8(ascii: "!") && $0 <= UInt8(ascii: "~") }
        return isPrintable ? String(buffer: name) : nil
    }

    func refuseName(_ client: BrokerClient) {
        self.fail(client, "ERR Client names cannot contain spaces, newlines or special characters.")
    }

    /// There is one database as good as another: publish/subscribe knows none.
    func select(_ argument: ByteBuffer, for client: BrokerClient) {
        guard let number = Int(String(buffer: argument)) else {
            return self.fail(client, "ERR value is not an integer or out of range")
        }
        guard (0..<16).contains(number) else { return self.fail(client, "ERR DB index is out of range") }
        self.reply(client, .simpleString("OK"))
    }

    func reset(_ client: BrokerClient) {
        self.unsubscribeFromAll(client)
        client.name = ""
        client.version = .resp2
        client.isAuthenticated = self.configuration.password == nil
        self.reply(client, .simpleString("RESET"))
    }
}
