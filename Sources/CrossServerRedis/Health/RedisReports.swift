public import CrossServerBus

/// The two connections to a Redis node.
public enum RedisRole: String, Sendable, Hashable, CustomStringConvertible {
    case publisher, subscriber

    public var description: String { self.rawValue }
}

/// A connection of a Redis node became usable or unusable, or cannot be made.
public struct RedisHealthReport: Sendable, Hashable {
    public enum Event: String, Sendable, Hashable {
        /// The connection is usable. A subscriber: every wanted channel is subscribed.
        case ready
        /// The connection was lost or given up. Another is being made.
        case lost
        /// An attempt to connect failed. Reported once for each reason.
        case connectFailed
    }

    public var link: BusLink
    /// Where the node is, or was to be found: the path of a unix socket; the current master or member.
    public var host: String
    /// 0 for a unix socket.
    public var port: Int
    /// As configured, or of the server that uses the bus.
    public var serverName: String
    public var event: Event
    public var isHealthy: Bool
    public var error: String?
    public var healthySubscriberCount: Int
    public var healthyPublisherCount: Int
    public var totalNodeCount: Int
    public var type: RedisRole
}

/// A server refused to subscribe or unsubscribe a channel. It is asked again every 30 s and on each new connection.
public struct RedisSubscriptionError: Sendable, Hashable {
    public enum Event: String, Sendable, Hashable {
        case subscribe, unsubscribe
    }

    public var link: BusLink
    public var host: String
    public var port: Int
    /// As configured, or of the server that uses the bus.
    public var serverName: String
    public var channel: String
    public var event: Event
    /// In the server's words.
    public var error: String
}

/// Counts since the bus was made, over all its links, removed ones included.
public struct RedisStatistics: Sendable, Hashable {
    /// Publishes that a server has taken.
    public var published = 0
    /// Publishes that were refused, or whose outcome is unknown, or that could not be sent.
    public var failed = 0
    /// Messages of wanted channels.
    public var received = 0
    /// Connections that were made anew after one was lost.
    public var reconnects = 0
    /// Messages of channels that are not wanted (any more), and connections given up because of what came on them.
    public var dropped = 0
    /// Messages that were longer than ``RedisBus/Configuration-swift.struct/maximumMessageSize`` and passed over.
    public var tooLarge = 0
    /// Attempts that gave no usable connection.
    public var failedAttempts = 0
}
