public import CrossServerWire

/// What a listener of ``SystemEvent/connection`` throws to refuse a client with a close code of its choice.
///
/// ```swift
/// adapter.onWebSocketEvent(.connection) { socket, request in
///     guard let id = try await user(of: request) else { throw ConnectionRejection(.authenticationFailed) }
///     try adapter.setUserSocket(id, socket)
/// }
/// ```
///
/// The connection is closed with it (RFC 6455, section 5.5.1), and none of the client's messages is handled. What clients
/// do then depends on ``CloseCode/allowsReconnect``.
public struct ConnectionRejection: Error, Sendable, Hashable, CustomStringConvertible {
    public var code: CloseCode
    public var reason: String

    /// - Parameters:
    ///   - code: 1000 to 1014 or 3000 to 4999 as RFC 6455, section 7.4, allows; any other becomes 1000.
    ///   - reason: at most 123 bytes of UTF-8, the rest is cut. The code's standard reason when nil.
    public init(_ code: CloseCode, reason: String? = nil) {
        self.code = code
        self.reason = reason ?? code.standardReason
    }

    public var description: String { "refused with \(self.code) \(self.reason)" }
}
