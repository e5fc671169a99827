/// Why a call of a connector could not be carried out, or why a connection was not made.
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
    }

    public let code: Code
    public let message: String

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
