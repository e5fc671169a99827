import CrossServerWebSocket

/// Why a call of a connector could not be carried out, or why a connection was not made.
///
/// What a server has refused is told by ``status``.
public struct WebSocketConnectorError: Error, Sendable, CustomStringConvertible {
    /// What went wrong. More codes may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        /// There is no open connection. Nothing was sent.
        public static let notOpen = Code(description: "WS_NOT_OPEN")
        /// The reply did not come in time. Whether the server handled the request is not known.
        public static let callbackTimeout = Code(description: "CALLBACK_TIMEOUT")
        /// The connection went while the reply was awaited. Whether the server handled the request is not known.
        public static let connectionClosed = Code(description: "CONNECTION_CLOSED")
        /// ``WebSocketConnector/Configuration-swift.struct/maximumPendingRequests`` replies are awaited already.
        /// Nothing was sent.
        public static let tooManyPending = Code(description: "TOO_MANY_PENDING")
        /// More than ``WebSocketConnector/Configuration-swift.struct/maximumWaitingBytes`` wait to be sent. This
        /// message was not sent.
        public static let outboundFull = Code(description: "OUTBOUND_FULL")
        /// The URL cannot be connected to.
        public static let invalidURL = Code(description: "INVALID_URL")
        /// An option of the configuration has a value that makes no sense.
        public static let invalidConfiguration = Code(description: "INVALID_CONFIGURATION")
        /// The connector runs already, or has run: a connector runs once.
        public static let alreadyRun = Code(description: "ALREADY_RUN")
        /// The connection was not open within
        /// ``WebSocketConnector/Configuration-swift.struct/connectTimeout``.
        public static let connectTimeout = Code(description: "CONNECT_TIMEOUT")
        /// The server answered the handshake with 401 or 403: it does not accept who the client is. The connector does not
        /// come back by itself.
        public static let authenticationFailed = Code(description: "AUTHENTICATION_FAILED")
        /// The server answered the handshake with another status that says that the request is wrong, or is for another
        /// server: 2xx, 3xx, and 4xx but 401, 403, 408 and 429. The connector comes back after
        /// ``WebSocketConnector/Configuration-swift.struct/reconnectMaximumInterval``.
        public static let refused = Code(description: "REFUSED")
        /// The server answered the handshake with 408, 429 or 5xx: it cannot serve the client now. The connector comes
        /// back, and not before ``WebSocketConnectorError/retryAfter``.
        public static let tryAgainLater = Code(description: "TRY_AGAIN_LATER")
    }

    public let code: Code
    public let message: String
    /// The HTTP status with which the server refused the handshake.
    public private(set) var status: Int?
    /// How long the server asked to wait (Retry-After; RFC 9110, section 10.2.3), when it refused the handshake.
    public private(set) var retryAfter: Duration?

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    static let notOpen = WebSocketConnectorError(.notOpen, "WebSocket is not open")
    static let connectionClosed = WebSocketConnectorError(.connectionClosed, "the connection has ended")
    static let outboundFull = WebSocketConnectorError(
        .outboundFull,
        "the server reads more slowly than messages are sent; send fewer, or later"
    )

    /// The message alone, worded as in the JavaScript client where that has the same error.
    public var description: String { self.message }
}

// Refused handshakes
extension WebSocketConnectorError {
    /// - Returns: nil when the handshake was not refused, but failed.
    init?(refusal error: any Error) {
        guard case .rejected(let status, let body, let retryAfter)? = error as? WebSocketHandshakeError else {
            return nil
        }
        let code: Code =
            switch status {
            case 401, 403: .authenticationFailed
            case 408, 429, 500...: .tryAgainLater
            default: .refused
            }
        let detail = body.isEmpty ? "" : ": \(body)"
        self.init(code, "the server refused the WebSocket with HTTP status \(status)\(detail)")
        self.status = status
        self.retryAfter = retryAfter
    }

    /// What becomes of an attempt that has failed with this.
    var verdict: ConnectorState.Verdict {
        switch self.code {
        case .authenticationFailed: .stop
        case .refused: .retryRarely
        default: .retry(after: self.retryAfter ?? .zero)
        }
    }
}
