import NIOSSL

extension RedisNode {
    /// Reads a URL:
    ///
    /// | form | |
    /// | --- | --- |
    /// | `host`, `host:port`, `[::1]:port` | plain TCP; the port is 6379 by default |
    /// | `redis://[[user]:password@]host[:port][/database]` | plain TCP |
    /// | `rediss://…` | the same over TLS, with the system's authorities |
    /// | `unix://[[user]:password@]/path` | unix socket |
    /// | `redis-sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/database]` | the hosts are Sentinels, their port is 26379 by default |
    /// | `redis-cluster://[[user]:password@]host[:port][,host[:port]…]` | the hosts are members of a cluster |
    /// | `rediss-sentinel://…`, `rediss-cluster://…` | the same over TLS |
    ///
    /// User, password and path are percent-decoded. `redis://password@host` is not taken: it would be the user name
    /// for some clients and the password for others. Parameters of the query: `db` (a number), `name` (of the
    /// connections), `timeout` (to connect, in milliseconds), `keepalive` (`true` or `false`); with Sentinel
    /// `sentinelUser` and `sentinelPassword`; with TLS `ca`, `cert` and `key` (paths of PEM files).
    ///
    /// - Throws: ``BusError`` with `invalidConfiguration`. Its message says what is wrong and holds no part of the URL
    ///   that could be a secret.
    public init(_ url: String) throws(BusError) {
        var parser = RedisURLParser(url)
        self = try parser.node()
        try self.validate()
    }
}

struct RedisURLParser {
    private enum Scheme: String {
        case redis, rediss, unix
        case sentinel = "redis-sentinel"
        case secureSentinel = "rediss-sentinel"
        case cluster = "redis-cluster"
        case secureCluster = "rediss-cluster"

        var isSecure: Bool { self.rawValue.hasPrefix("rediss") }
        var isSentinel: Bool { self == .sentinel || self == .secureSentinel }
        var isCluster: Bool { self == .cluster || self == .secureCluster }
    }

    private let url: String

    init(_ url: String) {
        self.url = url
    }

    mutating func node() throws(BusError) -> RedisNode {
        if self.url.isEmpty { throw Self.invalid("it is empty") }
        guard self.url.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            throw Self.invalid("it holds a space or a control character")
        }
        var scheme = Scheme.redis
        var rest = self.url[...]
        if let end = self.url.firstRange(of: "://") {
            let names = "redis, rediss, unix, redis-sentinel, rediss-sentinel, redis-cluster or rediss-cluster"
            guard let known = Scheme(rawValue: self.url[..<end.lowerBound].lowercased()) else {
                throw Self.invalid("its scheme must be \(names)")
            }
            scheme = known
            rest = self.url[end.upperBound...]
        }
        if rest.contains("#") { throw Self.invalid("it holds a '#'; in a password write %23") }
        let query: Substring
        (rest, query) = Self.split(rest, at: rest.firstIndex(of: "?"))
        // What a password holds may look like anything; the last @ ends it.
        let userInfo = rest.lastIndex(of: "@").map { rest[..<$0] }
        if let userInfo { rest = rest[userInfo.endIndex...].dropFirst() }
        let path: Substring
        (rest, path) = Self.split(rest, at: rest.firstIndex(of: "/"))

        var node = try Self.node(scheme, hosts: rest, path: path)
        if scheme.isSecure { node.tls = .makeClientConfiguration() }
        if let userInfo { node.setCredentials(try Self.credentials(userInfo)) }
        try Self.apply(query, to: &node, isSentinel: scheme.isSentinel)
        return node
    }

    /// - Returns: what is before the index and what is after it.
    private static func split(_ text: Substring, at index: Substring.Index?) -> (Substring, Substring) {
        guard let index else { return (text, "") }
        return (text[..<index], text[text.index(after: index)...])
    }

    private static func node(_ scheme: Scheme, hosts: Substring, path: Substring) throws(BusError) -> RedisNode {
        if scheme == .unix {
            guard hosts.isEmpty, !path.isEmpty else {
                throw Self.invalid("a unix URL needs an absolute path and no host")
            }
            return RedisNode(unixSocket: "/" + (try Self.decoded(path, "the path")))
        }
        if scheme.isSentinel {
            let (master, database) = Self.split(path, at: path.firstIndex(of: "/"))
            if master.isEmpty { throw Self.invalid("the name of the master is missing: redis-sentinel://host/master") }
            var node = RedisNode(
                .sentinel(
                    master: try Self.decoded(master, "the master"),
                    sentinels: try Self.addresses(hosts, defaultPort: RedisNode.defaultSentinelPort)
                )
            )
            if !database.isEmpty { node.database = try Self.database(database) }
            return node
        }
        let addresses = try Self.addresses(hosts, defaultPort: RedisNode.defaultPort)
        if scheme.isCluster {
            guard path.isEmpty || path == "0" else { throw Self.invalid("a cluster has no database but 0") }
            return RedisNode(.cluster(addresses))
        }
        guard addresses.count == 1 else {
            throw Self.invalid("it names several hosts; write redis-cluster:// for a cluster")
        }
        var node = RedisNode(.server(addresses[0]))
        if !path.isEmpty { node.database = try Self.database(path) }
        return node
    }

    private static func credentials(_ userInfo: Substring) throws(BusError) -> RedisCredentials {
        guard userInfo.contains(":") else {
            throw Self.invalid("write ':password@' or 'user:password@' before the host")
        }
        let (user, password) = Self.split(userInfo, at: userInfo.firstIndex(of: ":"))
        if password.isEmpty { throw Self.invalid("the password is empty") }
        return RedisCredentials(
            user: user.isEmpty ? nil : try Self.decoded(user, "the user name"),
            password: try Self.decoded(password, "the password")
        )
    }

    private static func addresses(_ hosts: Substring, defaultPort: Int) throws(BusError) -> [RedisAddress] {
        var addresses: [RedisAddress] = []
        for host in hosts.split(separator: ",", omittingEmptySubsequences: false) {
            addresses.append(try Self.address(host, defaultPort: defaultPort))
        }
        return addresses
    }

    private static func address(_ text: Substring, defaultPort: Int) throws(BusError) -> RedisAddress {
        var host = text.prefix { $0 != ":" }
        var rest = text.dropFirst(host.count)
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else {
                throw Self.invalid("the bracket of the address is not closed")
            }
            host = text[..<end].dropFirst()
            rest = text[text.index(after: end)...]
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw Self.invalid("what is in brackets is no IPv6 address")
            }
        } else {
            if host.isEmpty { throw Self.invalid("the host is missing") }
            guard host.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) || ".-_".contains($0) }) else {
                throw Self.invalid("the host holds a character that no host name has")
            }
        }
        if rest.isEmpty { return .tcp(host: String(host), port: defaultPort) }
        guard rest.first == ":", let port = Self.number(rest.dropFirst()), 1...65_535 ~= port else {
            throw Self.invalid("the port must be a number between 1 and 65535")
        }
        return .tcp(host: String(host), port: port)
    }

    private static func apply(_ query: Substring, to node: inout RedisNode, isSentinel: Bool) throws(BusError) {
        var sentinelUser: String?
        var sentinelPassword: String?
        var files: [String: String] = [:]
        for pair in query.split(separator: "&") {
            let (key, text) = Self.split(pair, at: pair.firstIndex(of: "="))
            let value = try Self.decoded(text, "a parameter")
            switch key {
            case "db": node.database = try Self.database(value[...])
            case "name": node.connectionName = value
            case "timeout":
                guard let milliseconds = Self.number(value[...]), milliseconds > 0 else {
                    throw Self.invalid("timeout must be a number of milliseconds")
                }
                node.connectTimeout = .milliseconds(milliseconds)
            case "keepalive":
                guard let keepAlive = Bool(value) else { throw Self.invalid("keepalive must be true or false") }
                node.keepAlive = keepAlive
            case "sentinelUser" where isSentinel: sentinelUser = value
            case "sentinelPassword" where isSentinel: sentinelPassword = value
            case "ca", "cert", "key":
                guard node.tls != nil else { throw Self.invalid("ca, cert and key are for TLS: write rediss") }
                files[String(key)] = value
            default:
                let known = "db, name, timeout, keepalive, ca, cert, key, sentinelUser and sentinelPassword"
                throw Self.invalid("it holds an unknown parameter; known are \(known)")
            }
        }
        if let sentinelPassword {
            let credentials = RedisCredentials(user: sentinelUser, password: sentinelPassword)
            node.sentinelCredentials = { credentials }
        } else if sentinelUser != nil {
            throw Self.invalid("sentinelUser needs a sentinelPassword")
        }
        try Self.apply(files, to: &node)
    }

    private static func apply(_ files: [String: String], to node: inout RedisNode) throws(BusError) {
        guard files["cert"] == nil && files["key"] == nil || files["cert"] != nil && files["key"] != nil else {
            throw Self.invalid("cert and key go together")
        }
        do {
            if let path = files["ca"] { node.tls?.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(path)) }
            if let certificate = files["cert"], let key = files["key"] {
                node.tls?.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                node.tls?.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
        } catch {
            throw Self.invalid("the files named by ca, cert and key cannot be read: \(error)")
        }
    }

    private static func database(_ text: Substring) throws(BusError) -> Int {
        guard let database = Self.number(text) else { throw Self.invalid("the database must be a number from 0") }
        return database
    }

    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(text) : nil
    }

    private static func decoded(_ text: Substring, _ what: String) throws(BusError) -> String {
        guard let decoded = PercentEncoding.decoded(text) else {
            throw Self.invalid("\(what) holds a '%' that is not followed by two hexadecimal digits, or is not UTF-8")
        }
        return decoded
    }

    private static func invalid(_ problem: String) -> BusError {
        BusError(.invalidConfiguration, "the URL of a Redis node is wrong: \(problem)")
    }
}

enum PercentEncoding {
    static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(Self.digit), let low = rest.popFirst().flatMap(Self.digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
