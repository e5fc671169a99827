import CrossServerWebSocket
import CrossServerWire
import HTTPTypes

/// The web pages that may connect: those whose `Origin` (RFC 6455, section 10.2) is of the server's own host name, on any
/// port, and those that are named here.
///
/// Browsers let a page of any site open a WebSocket to any server, with the user's cookies. Only the `Origin` that they
/// send tells the server whose page it is. Programs that are no browsers send none, and are not checked.
///
/// ```swift
/// configuration.allowedOrigins = ["https://app.example.com", "admin.example.com"]
/// ```
///
/// Behind a proxy that changes the `Host` of requests the server's own host name is not that of its pages: pass it on
/// unchanged (nginx: `proxy_set_header Host $host`), or name the pages here.
public struct AllowedOrigins: Sendable, Hashable, ExpressibleByArrayLiteral {
    /// Nil for any.
    private var named: Set<String>?
    /// As they were given.
    private let given: [String]

    /// Only pages of the server's own host name, on any port.
    public static let sameHost: AllowedOrigins = []
    /// The pages of every site, as the original does. To be set when all that a client may do is open to everyone anyhow, or
    /// when ``WebSocketCrossServerAdapter/Configuration/authorize`` checks what no other site can know.
    public static let any = AllowedOrigins(named: nil)

    private init(named: Set<String>?) {
        self.named = named
        self.given = []
    }

    /// - Parameter origins: in addition to the server's own host name. Each is an origin, `https://app.example.com:8443`; a
    ///   host name, `app.example.com`, with any scheme and port; or `null`, which browsers send for pages from files and in
    ///   sandboxes of any site.
    public init(_ origins: [String]) {
        self.named = Set(origins.map { Self.normalized($0.lowercased()) })
        self.given = origins
    }

    public init(arrayLiteral origins: String...) {
        self.init(origins)
    }

    /// The first of those given that is neither an origin nor a host name.
    var invalid: String? {
        self.given.first { origin in
            if origin.lowercased() == "null" { return false }
            let host = origin.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).last ?? ""
            return host.isEmpty || host.contains { "/?#@*, ".contains($0) } || host.firstControlCharacter != nil
        }
    }

    /// - Returns: the origin, fit for a log, when the request comes from a page that may not connect; otherwise nil.
    func refusedOrigin(of request: UpgradeRequest) -> String? {
        guard let named = self.named else { return nil }
        let origins = request.headers[values: .origin]
        if origins.isEmpty { return nil }
        if origins.count == 1 {
            let origin = Self.normalized(origins[0].lowercased())
            if named.contains(origin) { return nil }
            if let host = Self.host(ofOrigin: origin) {
                if named.contains(host) { return nil }
                let own = request.headers[values: .hostField]
                if own.count == 1, Self.withoutPort(own[0].lowercased()) == host { return nil }
            }
        }
        return LogText(origins.joined(separator: ", ")).description
    }

    /// Without the port that goes without saying.
    private static func normalized(_ origin: String) -> String {
        for (scheme, port) in [("https://", ":443"), ("http://", ":80")]
        where origin.hasPrefix(scheme) && origin.hasSuffix(port) {
            return String(origin.dropLast(port.count))
        }
        return origin
    }

    /// Nil for what is not of the form `scheme://host`, with or without a port.
    private static func host(ofOrigin origin: String) -> String? {
        guard let scheme = origin.firstRange(of: "://"), scheme.lowerBound > origin.startIndex else { return nil }
        let host = Self.withoutPort(String(origin[scheme.upperBound...]))
        return host.isEmpty ? nil : host
    }

    private static func withoutPort(_ authority: String) -> String {
        guard let colon = authority.lastIndex(of: ":"),
            authority[colon...].dropFirst().allSatisfy({ $0.isASCII && $0.isNumber })
        else { return authority }
        return String(authority[..<colon])
    }
}

extension UpgradeRejection {
    /// 403, with what to do in words.
    static func originNotAllowed(_ origin: String, host: String) -> UpgradeRejection {
        UpgradeRejection(
            status: 403,
            reasonPhrase: "Forbidden",
            body: """
                Pages of the origin \(origin) may not connect to this server, only those of its own host, which the request \
                calls \(LogText(host)). To allow them, name the origin in Configuration.allowedOrigins, or with \
                'crossserver serve --allow-origin \(origin)'. Behind a proxy, pass on the Host of the request unchanged.
                """
        )
    }
}
