public import HTTPTypes
public import NIOCore

/// Why a client's handshake did not lead to a WebSocket.
public enum WebSocketHandshakeError: Error, Sendable, Equatable {
    /// The server answered with another status than 101.
    case rejected(status: Int, body: String)
    /// The answer breaks RFC 6455, section 4.1, or HTTP.
    case invalidResponse(String)
    /// The connection ended before the handshake did.
    case closed
}

/// The head of the server's answer.
public struct UpgradeResponse: Sendable {
    public var status: Int
    public var reasonPhrase: String
    public var headers: HTTPFields

    public init(status: Int, reasonPhrase: String = "", headers: HTTPFields = [:]) {
        self.status = status
        self.reasonPhrase = reasonPhrase
        self.headers = headers
    }
}

/// The client's part of the opening handshake (RFC 6455, section 4.1), with a random key of its own.
public struct ClientHandshake: Sendable {
    /// - Parameters:
    ///   - host: the value of the Host field: `example.org:9000`.
    ///   - target: path and query, `/a?id=7`.
    ///   - headers: further fields. Those of the handshake itself are left out.
    ///   - deflate: nil offers no compression.
    public init(
        host: String,
        target: String,
        headers: HTTPFields = [:],
        subprotocols: [String] = [],
        deflate: PerMessageDeflate? = nil
    ) {
    }

    /// The whole request head.
    public func request() -> ByteBuffer { .init() }

    /// Checks the answer.
    public func validate(
        _ response: UpgradeResponse
    ) throws(WebSocketHandshakeError) -> (subprotocol: String?, deflate: NegotiatedDeflate?) {
        throw .closed
    }
}
