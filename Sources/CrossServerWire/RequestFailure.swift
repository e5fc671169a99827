/// An error that a handler throws to answer a request with a failure that the client may see.
///
/// The reply carries `"error": {"code": …, "message": …}` and the payload `{"error": message}`, and goes to clients that
/// know it; those of the Node.js library get none. Any other error that a handler throws is logged, and the client sees only
/// ``internalError``.
public struct RequestFailure: Error, Hashable, Sendable, Codable, CustomStringConvertible {
    /// What a program can act on.
    public var code: String
    /// What a person can read.
    public var message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// The handler failed; the reason is in the server's log alone.
    public static let internalError = RequestFailure(code: "INTERNAL_ERROR", message: "the request failed")

    /// The request's payload does not have the shape that the handler needs.
    public static func invalidPayload(_ message: String) -> RequestFailure {
        RequestFailure(code: "INVALID_PAYLOAD", message: message)
    }

    public var description: String { "\(self.code): \(self.message)" }

    /// The reply's payload, for those that know no `error` key.
    package var payload: Payload { ["error": Payload(self.message)] }
    /// The reply's `error`.
    package var error: Payload { ["code": Payload(self.code), "message": Payload(self.message)] }
}
