public import CrossServerWire

extension WebSocketCrossServerAdapter.Configuration {
    /// How a server talks to the others of its cluster. It has no effect without a bus.
    public struct Cluster: Sendable {
        /// Begins the names of the channels between servers. `csbp:`.
        public var bridgePrefix = "csbp:"
        /// Begins the names of the channels that carry messages for clients. `ws:`. Must differ from the other prefix.
        public var webSocketPrefix = "ws:"
        /// How messages to other servers are written. Both are always understood. MessagePack.
        public var encoding = BusEncoding.messagePack
        /// What is promised of messages between servers. See Documentation/delivery.md. Ordered.
        public var delivery = DeliveryGuarantee.ordered
        /// Channels of the application that are subscribed from the start.
        public var customChannels: [String] = []
        /// Takes part without being one of the servers: is not counted, handles no events and answers no requests. For tools
        /// that only send and ask. False.
        public var isObserver = false
        /// What happens when a client logs in with an id that another server has bound. Must be the same on all servers.
        /// Messages for one client cost much less when ids are unique. Per server, as in the original.
        public var uniqueIds = UniqueIds.perServer
        /// Namespaces of rooms whose channels are subscribed from the start and for ever.
        public var presetRoomNamespaces: [String] = []
        /// Whether the channel of a namespace is unsubscribed when the last client has left its rooms. True.
        public var unsubscribesUnusedNamespaces = true
        /// How long the channel of a namespace, or room, stays subscribed after the last client has left. 1 s.
        public var roomChannelLinger: Duration = .seconds(1)
        /// Whether each room has a channel of its own, so that a server hears only the rooms that its clients are in,
        /// at the price of a subscription for each. Must be the same on all servers of a cluster. While there are servers
        /// of the original, which hear a namespace as a whole, messages go to its channel. False.
        public var subscribesEachRoom = false
        /// Requests to other servers that may wait for replies. Beyond:
        /// ``CrossServerError/Code-swift.struct/overloaded``. 100,000.
        public var maximumOutstandingRequests = 100_000
        /// Asynchronous listeners of other servers' events that may run at once. Beyond: the event is dropped and
        /// counted; a request is answered with the failure `OVERLOADED`. 10,000.
        public var maximumRunningHandlers = 10_000

        public init() {}
    }

    /// What is promised of all messages of a server to others.
    public enum DeliveryGuarantee: Sendable, Hashable {
        /// Each comes once and in order, as long as a link connects the servers or does so again in time. What cannot be
        /// sent now waits for up to 9 s. Servers of the original get and send as they always did.
        case ordered
        /// As the original: a message goes out once, and what is lost is lost. What cannot be sent now is an error.
        case bestEffort
    }

    /// What is promised of a single message to other servers.
    public enum Delivery: Sendable, Hashable {
        /// What ``Cluster-swift.struct/delivery`` promises of all.
        case ordered
        /// It goes out once and comes at most once; what comes more than a second late, or after one that was sent later in
        /// this way on the same channel, is dropped. It does not wait for the others, nor they for it. For what is worthless
        /// when it is late, as positions in a game.
        case bestEffort
        /// As ``ordered``, but while a message waits for a link, a newer one with the same key for the same audience (all, a
        /// room, the same servers) takes its place. The last one comes, and those before it may be left out. For states of
        /// which only the newest counts, as the score of a match. The key has 1 to ``Limits/maximumNameLength`` bytes.
        ///
        /// An error (`invalidConfiguration`) where ``Cluster-swift.struct/delivery`` is best effort: nothing waits there.
        case latest(key: String)
    }

    /// How often there may be one id.
    public enum UniqueIds: Sendable, Hashable {
        /// Once on each server, as in the original: messages for the id reach all of them.
        case perServer
        /// Once in the cluster: a new login replaces the old one, which is closed with 4012.
        case replacing
        /// Once in the cluster: a new login is refused.
        case refusing
    }
}
