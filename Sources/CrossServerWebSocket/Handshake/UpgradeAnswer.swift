public import CrossServerWire
public import HTTPTypes
public import NIOCore

/// The answer to a handshake that succeeded.
public struct UpgradeAcceptance: Sendable {
    public var subprotocol: String?
    public var deflate: NegotiatedDeflate?
    /// All fields of the 101 response; more may be added.
    public var headers: HTTPFields

    public init(subprotocol: String? = nil, deflate: NegotiatedDeflate? = nil, headers: HTTPFields = [:]) {
        self.subprotocol = subprotocol
        self.deflate = deflate
        self.headers = headers
    }
}

/// The HTTP answer to a handshake that was refused.
public struct UpgradeRejection: Error, Sendable {
    /// 400 to 599.
    public var status: Int
    public var reasonPhrase: String
    public var headers: HTTPFields
    /// Sent as plain text.
    public var body: String
    /// Set by ``closing(with:reason:)``.
    package private(set) var close: CloseFrame?

    /// - Parameter body: the reason phrase when nil.
    public init(status: Int, reasonPhrase: String, headers: HTTPFields = [:], body: String? = nil) {
        self.status = status
        self.reasonPhrase = reasonPhrase
        self.headers = headers
        self.body = body ?? reasonPhrase
    }

    /// The same refusal for clients that cannot see the status of a refused handshake, as browsers: the handshake is
    /// accepted, and the connection closed at once with the code.
    ///
    /// No listener hears of such a connection, and it is not one of the server's clients. Status, headers and body are
    /// sent where the request is no valid handshake.
    ///
    /// - Parameters:
    ///   - code: 1000 replaces one that must not be sent.
    ///   - reason: the code's own when nil; cut to 123 bytes (RFC 6455, section 5.5).
    public func closing(
        with code: CloseCode = .authenticationFailed,
        reason: String? = nil
    ) -> UpgradeRejection {
        let code = code.isAllowedOnTheWire ? code : .normalClosure
        var rejection = self
        rejection.close = CloseFrame(code: code, reason: reason ?? code.standardReason)
        return rejection
    }

    /// 426: the request does not ask for a WebSocket.
    public static let upgradeRequired = UpgradeRejection(
        status: 426,
        reasonPhrase: "Upgrade Required",
        headers: [.upgrade: "websocket"]
    )

    /// 400.
    public static func badRequest(_ body: String = "Bad Request") -> UpgradeRejection {
        .init(status: 400, reasonPhrase: "Bad Request", body: body)
    }

    public static let unauthorized = UpgradeRejection(status: 401, reasonPhrase: "Unauthorized")
    public static let forbidden = UpgradeRejection(status: 403, reasonPhrase: "Forbidden")
    public static let notFound = UpgradeRejection(status: 404, reasonPhrase: "Not Found")
    public static let methodNotAllowed = UpgradeRejection(
        status: 405,
        reasonPhrase: "Method Not Allowed",
        headers: [.allow: "GET"]
    )
    public static let tooManyRequests = UpgradeRejection(status: 429, reasonPhrase: "Too Many Requests")
    public static let headerFieldsTooLarge = UpgradeRejection(
        status: 431,
        reasonPhrase: "Request Header Fields Too Large"
    )
    public static let internalServerError = UpgradeRejection(status: 500, reasonPhrase: "Internal Server Error")
    public static let serviceUnavailable = UpgradeRejection(status: 503, reasonPhrase: "Service Unavailable")
}

/// What the application says to a handshake.
public enum UpgradeDecision {
    case accept(UpgradeAcceptance)
    case reject(UpgradeRejection)
    /// Known later. Nothing more is read from the client until then. A failed future is answered with 500.
    case pending(EventLoopFuture<Result<UpgradeAcceptance, UpgradeRejection>>)
}
