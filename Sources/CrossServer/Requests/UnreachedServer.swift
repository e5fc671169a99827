/// A server that does not get an event which others get.
public struct UnreachedServer: Sendable, Hashable {
    public var server: String
    /// `unreachable` when it lives and no link connects it with this one; otherwise `busUnavailable`, `overloaded` or
    /// `messageTooLarge`: why the event was not sent to it.
    public var error: CrossServerError

    public init(server: String, error: CrossServerError) {
        self.server = server
        self.error = error
    }
}

extension CrossServerError {
    static func unreachable(_ servers: String) -> CrossServerError {
        CrossServerError(.unreachable, "no link leads to \(servers)")
    }
}
