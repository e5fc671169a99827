public import CrossServerWire

/// The peer broke the protocol or a limit. The connection is closed with ``closeCode``.
public struct WebSocketError: Error, Sendable, Equatable, CustomStringConvertible {
    /// 1002 for a violation of the protocol, 1007 for data that is not valid, 1009 for a message that is too big.
    public var closeCode: CloseCode
    /// What was wrong, also sent to the peer as the reason.
    public var message: String

    public init(closeCode: CloseCode, message: String) {
        self.closeCode = closeCode
        self.message = message
    }

    public var description: String {
        "\(self.closeCode): \(self.message)"
    }

    static func protocolError(_ message: String) -> WebSocketError {
        .init(closeCode: .protocolError, message: message)
    }

    static func invalidPayload(_ message: String) -> WebSocketError {
        .init(closeCode: .invalidPayload, message: message)
    }

    static func tooBig(_ message: String) -> WebSocketError {
        .init(closeCode: .messageTooBig, message: message)
    }
}
