public import HTTPTypes
public import NIOCore

/// Why a client's handshake did not lead to a WebSocket.
public enum WebSocketHandshakeError: Error, Sendable, Equatable {
    /// The server answered with another status than 101. The body is cut to 1,024 bytes; `retryAfter` is that of the
    /// answer (RFC 9110, section 10.2.3), nil without one.
    case rejected(status: Int, body: String, retryAfter: Duration? = nil)
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
    let key: String
    private let host: String
    private let target: String
    private let headers: HTTPFields
    private let subprotocols: [String]
    private let deflate: PerMessageDeflate?

    private static let ownFields: Set<HTTPField.Name> = [
        .hostField, .upgrade, .connection, .contentLength, .transferEncodingField, .secWebSocketKey,
        .secWebSocketVersion, .secWebSocketProtocol, .secWebSocketExtensions, .secWebSocketAccept,
    ]

    /// - Parameters:
    ///   - host: the value of the Host field: `example.org:9000`.
    ///   - target: path and query, `/a?id=7`. Spaces, control characters and what is not ASCII are percent-encoded.
    ///   - headers: further fields. Those of the handshake itself are left out.
    ///   - deflate: nil offers no compression.
    public init(
        host: String,
        target: String,
        headers: HTTPFields = [:],
        subprotocols: [String] = [],
        deflate: PerMessageDeflate? = nil
    ) {
        self.key = HandshakeKey.random()
        self.host = host
        self.target = target
        self.headers = HTTPFields(headers.filter { !Self.ownFields.contains($0.name) })
        self.subprotocols = subprotocols
        self.deflate = deflate
    }

    /// The whole request head.
    public func request() -> ByteBuffer {
        var fields: HTTPFields = [
            .hostField: self.host,
            .upgrade: "websocket",
            .connection: "Upgrade",
            .secWebSocketKey: self.key,
            .secWebSocketVersion: "13",
        ]
        if !self.subprotocols.isEmpty {
            fields[.secWebSocketProtocol] = self.subprotocols.joined(separator: ", ")
        }
        if let deflate = self.deflate {
            fields[.secWebSocketExtensions] = deflate.offer
        }
        fields.append(contentsOf: self.headers)

        var buffer = ByteBuffer()
        buffer.writeString("GET ")
        buffer.writeBytes(Self.encoded(self.target))
        buffer.writeString(" HTTP/1.1\r\n")
        buffer.writeHTTPFields(fields)
        return buffer
    }

    /// Checks the answer.
    public func validate(
        _ response: UpgradeResponse
    ) throws(WebSocketHandshakeError) -> (subprotocol: String?, deflate: NegotiatedDeflate?) {
        let headers = response.headers
        guard response.status == 101 else {
            throw .rejected(status: response.status, body: "", retryAfter: RetryAfter.parse(headers))
        }
        guard ServerHandshake.list(headers[values: .upgrade], contains: "websocket") else {
            throw .invalidResponse("Upgrade is not websocket")
        }
        guard ServerHandshake.list(headers[values: .connection], contains: "upgrade") else {
            throw .invalidResponse("Connection does not name upgrade")
        }
        guard headers[values: .secWebSocketAccept] == [HandshakeKey.accept(for: self.key)] else {
            throw .invalidResponse("wrong Sec-WebSocket-Accept")
        }
        return (try self.subprotocol(in: headers), try self.negotiatedDeflate(in: headers))
    }

    private func subprotocol(in headers: HTTPFields) throws(WebSocketHandshakeError) -> String? {
        // A proxy may send the field without a value.
        let values = headers[values: .secWebSocketProtocol].filter { !$0.isEmpty }
        guard let value = values.first else { return nil }
        guard values.count == 1, self.subprotocols.contains(value) else {
            throw .invalidResponse("a subprotocol that was not offered")
        }
        return value
    }

    private func negotiatedDeflate(in headers: HTTPFields) throws(WebSocketHandshakeError) -> NegotiatedDeflate? {
        guard let answers = ExtensionOffer.parse(headers[values: .secWebSocketExtensions]) else {
            throw .invalidResponse("invalid Sec-WebSocket-Extensions")
        }
        guard let answer = answers.first else { return nil }
        guard answers.count == 1, let negotiated = self.deflate?.confirm(answer) else {
            throw .invalidResponse("an extension or parameter that was not offered")
        }
        return negotiated
    }

    private static func encoded(_ target: String) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = target.utf8.first == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
        for byte in target.utf8.prefix(while: { $0 != UInt8(ascii: "#") }) {
            if byte > 0x20, byte < 0x7F {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return bytes
    }
}

extension ByteBuffer {
    /// Writes the fields and the empty line that ends a head.
    mutating func writeHTTPFields(_ fields: HTTPFields) {
        for field in fields {
            self.writeString(field.name.rawName)
            self.writeString(": ")
            field.withUnsafeBytesOfValue { _ = self.writeBytes($0) }
            self.writeString("\r\n")
        }
        self.writeString("\r\n")
    }
}
