/// A connection of a client.
public struct SocketLocation: Sendable, Hashable {
    /// The name of the server.
    public var server: String
    /// Since when it has its id. In milliseconds, and by the clock of its server.
    public var connectedFor: Duration
}
