/// What a WebSocket URL says (RFC 6455, section 3): where to connect, and what to ask for there.
struct Endpoint: Equatable {
    var isSecure: Bool
    /// A name or address; that of IPv6 without its brackets.
    var host: String
    var port: Int
    /// The value of the Host field: without the port if it is the scheme's own.
    var hostHeader: String
    /// Path and query.
    var target: String

    /// - Throws: ``WebSocketConnectorError`` with `invalidURL`.
    init(url: String, parameters: QueryParameters = QueryParameters()) throws(WebSocketConnectorError) {
        if let byte = url.utf8.first(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw Self.invalid(url, "it holds the control character \(byte)")
        }
        let lowercased = url.prefix(6).lowercased()
        let prefix: String
        if lowercased.hasPrefix("ws://") {
            prefix = "ws://"
        } else if lowercased == "wss://" {
            prefix = "wss://"
        } else {
            throw Self.invalid(url, "it must begin with ws:// or wss://")
        }
        self.isSecure = prefix == "wss://"
        let rest = url.dropFirst(prefix.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if authority.contains("@") { throw Self.invalid(url, "it holds a user name; use a header instead") }
        (self.host, self.port) = try Self.split(authority, defaultPort: self.isSecure ? 443 : 80, url: url)
        let bracketed = self.host.contains(":") ? "[\(self.host)]" : self.host
        self.hostHeader = self.port == (self.isSecure ? 443 : 80) ? bracketed : "\(bracketed):\(self.port)"
        // A fragment never goes to the server.
        let target = rest.dropFirst(authority.count).prefix { $0 != "#" }
        self.target = Self.target(String(target), parameters: parameters)
    }

    private static func split(
        _ authority: Substring,
        defaultPort: Int,
        url: String
    ) throws(WebSocketConnectorError) -> (host: String, port: Int) {
        let host: Substring
        let rest: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw Self.invalid(url, "the bracket is not closed") }
            host = authority[authority.index(after: authority.startIndex)..<end]
            rest = authority[authority.index(after: end)...]
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw Self.invalid(url, "\(host) is no IPv6 address")
            }
        } else {
            host = authority.prefix { $0 != ":" }
            rest = authority.dropFirst(host.count)
            if host.isEmpty { throw Self.invalid(url, "it has no host") }
            let isName = host.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard isName else { throw Self.invalid(url, "\(host) is no host name; write other scripts in Punycode") }
        }
        if rest.isEmpty || rest == ":" { return (String(host), defaultPort) }
        guard rest.first == ":", rest.dropFirst().utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
            let port = Int(rest.dropFirst()), 1...65_535 ~= port
        else { throw Self.invalid(url, "\(rest) is no port") }
        return (String(host), port)
    }

    private static func target(_ target: String, parameters: QueryParameters) -> String {
        var bytes: [UInt8] = target.hasPrefix("/") ? [] : [UInt8(ascii: "/")]
        for byte in target.utf8 {
            if 0x21...0x7E ~= byte { bytes.append(byte) } else { bytes.appendPercentEncoded(byte) }
        }
        if !parameters.pairs.isEmpty {
            bytes.append(target.contains("?") ? UInt8(ascii: "&") : UInt8(ascii: "?"))
            bytes.append(contentsOf: parameters.encoded.utf8)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func invalid(_ url: String, _ problem: String) -> WebSocketConnectorError {
        WebSocketConnectorError(.invalidURL, "cannot connect to '\(url)': \(problem)")
    }
}
