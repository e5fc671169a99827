/// A live server of the cluster.
public struct ClusterServer: Sendable, Hashable {
    public var name: String
    /// Tells one life of a server from the next with the same name.
    public var incarnation: String
    /// For how long it has been running.
    public var uptime: Duration
    /// Clients that are connected to it, as it said last.
    public var connections: Int
    /// Rooms with members there, as it said last.
    public var rooms: Int
    /// Its names for the links, for example the Redis nodes, over which it hears others.
    public var links: [String]
    /// It is about to stop, and takes no new clients.
    public var isStopping: Bool
    /// Whether a link connects it with this server in both directions. Of a server that only others hear nothing but the
    /// name and the incarnation is known: the rest is empty.
    public var isReachable: Bool
    public var isThisServer: Bool
}

/// What has become of a server of the cluster.
public enum ServerChange: Sendable, Hashable {
    /// It has proved that it lives.
    case joined(ClusterServer)
    case left(ClusterServer, LeaveReason)

    public enum LeaveReason: String, Sendable, Hashable {
        /// It said that it stops.
        case stopped
        /// It has not been heard for 3.5 s.
        case died
        /// A server that was started later with the same name is there instead.
        case replaced
    }
}
