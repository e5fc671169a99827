public import CrossServerWire
public import NIOCore

/// Which end of a connection we are: clients mask what they send, servers do not (RFC 6455, section 5.1).
public enum WebSocketRole: Sendable {
    case server
    case client
}

/// The limits of one connection.
public struct WebSocketConfiguration: Sendable {
    /// The largest message that is accepted, in bytes after inflating. A larger one ends the connection with 1009.
    /// Default 1 MiB.
    public var maximumMessageSize: Int = 1 << 20
    /// The number of frames that one message may have. Default 1,024.
    public var maximumFragments: Int = 1_024
    /// How long a closing connection waits for the peer's Close frame and end of stream before it is cut. Default 5 s.
    public var closeTimeout: TimeAmount = .seconds(5)
    /// What happens when the peer reads slower than we write.
    public var outbound: OutboundLimit = .init()
    /// What all connections of a server share, if they do.
    package var memory: MemoryBudget?

    public init() {}
}

/// What happens when a peer reads slower than we write.
public struct OutboundLimit: Sendable {
    public enum Policy: Sendable {
        /// The message that does not fit is not sent.
        case dropNewest
        /// The oldest messages that the channel did not take yet make room. Control frames are never dropped.
        case dropOldest
        /// Everything that waits is discarded and the connection is closed.
        case close(CloseCode, reason: String)
    }

    /// Bytes that may wait for the peer, in our queue and in the channel, before compression. A single message is
    /// always taken when nothing waits. Default 1 MiB.
    public var maximumWaitingBytes: Int
    /// Default: close with 1008.
    public var policy: Policy

    public init(
        maximumWaitingBytes: Int = 1 << 20,
        policy: Policy = .close(.policyViolation, reason: "slow consumer")
    ) {
        self.maximumWaitingBytes = maximumWaitingBytes
        self.policy = policy
    }
}
