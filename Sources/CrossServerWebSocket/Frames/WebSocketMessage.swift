public import CrossServerWire
public import NIOCore

/// A whole message as it was received. The payload of a text message is valid UTF-8.
public struct WebSocketMessage: Sendable {
    public enum Kind: Sendable {
        case text
        case binary
    }

    public var kind: Kind
    public var payload: ByteBuffer

    public init(kind: Kind, payload: ByteBuffer) {
        self.kind = kind
        self.payload = payload
    }
}

/// How a connection ended.
public struct WebSocketClose: Sendable, Equatable {
    /// The code of the peer's Close frame, 1005 if it had none. Without a Close frame of the peer: the code that we
    /// sent, or 1006 when we sent none or cut the connection.
    public var code: CloseCode
    /// The reason that belongs to the code.
    public var reason: String
    /// Whether Close frames went both ways.
    public var wasClean: Bool

    public init(code: CloseCode, reason: String, wasClean: Bool) {
        self.code = code
        self.reason = reason
        self.wasClean = wasClean
    }
}

/// What became of a message that was handed to ``WebSocketHandler/send(_:)``.
public enum SendResult: Sendable {
    /// It is queued and will be written at the end of the event loop's turn, or as soon as the peer reads on.
    case sent
    /// The outbound limit dropped it.
    case dropped
    /// The connection is not open any more.
    case closing
}
