public import CrossServerWebSocket

/// The bounds that a server sets to its clients. Each has a default; what happens at the bound stands beside it.
public struct Limits: Sendable {
    /// Bytes of one message, after inflating. Beyond: close 1009. 1 MiB.
    public var maximumMessageSize = 1 << 20
    /// Frames of one message. Beyond: close 1008. 1,024.
    public var maximumFragments = 1_024
    /// Connections in all, from the accept on. Beyond: `503 Service Unavailable`. Each takes a file descriptor: as many as
    /// the process may have open (`ulimit -n`) when the limits are made, but for 64, and at most 100,000. When more than
    /// that is set the server says so at its start, and where the files end clients wait in the
    /// ``WebSocketCrossServerAdapter/Configuration/backlog``.
    public var maximumConnections = FileLimit.connections(files: FileLimit.current, wanted: 100_000)
    /// Connections of one IP address. Beyond: `429 Too Many Requests`. Behind a proxy all clients have its address, so
    /// there is no bound unless one is set.
    public var maximumConnectionsPerAddress: Int?
    /// From the accept to the end of the handshake, authorization included. Beyond: the connection is cut. 10 s.
    public var handshakeTimeout: Duration = .seconds(10)
    /// Bytes of the HTTP request that asks for the upgrade. Beyond: `431 Request Header Fields Too Large`. 16 KiB.
    public var maximumHandshakeSize = 16_384
    /// Wait for the client's answer to a close frame. Beyond: the connection is cut. 5 s.
    public var closeTimeout: Duration = .seconds(5)
    /// Messages and bytes of one client over time. No bound unless one is set.
    public var rate: Rate?
    /// Bytes that all connections may hold together: what was read and not decoded yet, what waits for handlers or
    /// is with them, what waits to be sent, and the streams of permessage-deflate. Beyond: those that hold most are closed
    /// with 1013, and new ones get `503 Service Unavailable`. Half of the machine's memory or, when that is less, of the
    /// container's. To be set when the machine is shared, and when messages that are larger than it go to many clients at
    /// once: one that waits for a thousand counts a thousand times.
    public var maximumMemory = Self.defaultMaximumMemory
    private static let defaultMaximumMemory = MachineMemory.available / 2
    /// Rooms of one client. Beyond: ``CrossServerError/Code-swift.struct/tooManyRooms``. 1,024.
    public var maximumRoomsPerClient = 1_024
    /// Namespaces in which one client has rooms; each is a channel of the bus. Beyond: as above. 32.
    public var maximumNamespacesPerClient = 32
    /// Bytes of UTF-8 in the name of an event, room, namespace or id. Beyond: an error to the application; a client's
    /// event is dropped and counted as invalid. 256.
    public var maximumNameLength = 256
    /// Whether names and ids may have control characters (C0, C1 and DEL). Otherwise they are an error, as too long ones.
    /// To be set when ids come from a system that has such. Logs show them escaped in any case. False.
    public var allowsControlCharactersInNames = false
    /// Clients whose connection has ended and whose handlers have not. Beyond: `503 Service Unavailable` to new ones. To be
    /// raised when very many handlers outlive their connections. 10,000.
    public var maximumLingeringClients = 10_000
    /// From the end of a connection, when its handlers are cancelled, to their end. Beyond: the `close` listeners run, and
    /// the client's id and rooms go, while the handlers go on. 10 s.
    public var handlerEndTimeout: Duration = .seconds(10)
    /// Messages of one client that wait for its handlers. Beyond: the server stops reading from it until half of them
    /// are done. 64.
    public var maximumQueuedMessages = 64
    /// Bytes of messages of one client that wait for its handlers. Beyond: as above. 1 MiB.
    public var maximumQueuedBytes = 1 << 20
    /// Messages that may wait beyond ``maximumQueuedMessages`` while the client owes the server the reply to a request or
    /// the answer to a ping, and of a client that has sent a heartbeat of the application: they may be before the next one.
    /// Beyond: the server stops reading until half of that is done. To be raised when handlers ask clients that send much
    /// meanwhile. 1,024.
    public var maximumReadAheadMessages = 1_024
    /// Bytes of messages beyond ``maximumQueuedBytes``, in the same way. 1 MiB.
    public var maximumReadAheadBytes = 1 << 20
    /// How long the server reads nothing from a client because its handlers get on with none of its messages. Beyond: close
    /// 1013 `handlers are too slow`. To be raised when one handler may take longer. 60 s.
    public var maximumPause: Duration = .seconds(60)
    /// Handlers of one client with ``HandlerOptions/concurrent`` that run at the same time. Beyond, and beyond
    /// ``maximumQueuedBytes`` of what they handle: the client's next message waits. 64.
    public var maximumConcurrentHandlersPerClient = 64
    /// Requests to one client that wait for its reply (``ClientSocket/emit(_:_:timeout:)``). Beyond:
    /// ``CrossServerError/Code-swift.struct/overloaded``. 1,000.
    public var maximumOutstandingRequestsPerClient = 1_000
    /// Bytes that wait to be sent to one client, and what happens to a client that reads too slowly.
    /// 1 MiB; close 1008 `slow consumer`.
    public var outbound = OutboundLimit()
    /// Messages and requests that wait to be handed to one event loop by other threads, and events that this server sends
    /// itself and that wait for its handlers. Beyond:
    /// ``CrossServerError/Code-swift.struct/overloaded``. 100,000.
    public var maximumQueuedDeliveries = 100_000

    public init() {}

    /// How much one client may send.
    public struct Rate: Sendable {
        /// What happens to a message that is over the rate.
        public enum Action: Sendable {
            /// The message is dropped and counted.
            case drop
            /// The client is closed with 1008 `rate limit`.
            case close
        }

        /// Messages per second; nil for no bound.
        public var messagesPerSecond: Double?
        /// Bytes of messages per second; nil for no bound.
        public var bytesPerSecond: Double?
        /// Seconds' worth of the rates that may come at once.
        public var burst: Double
        public var action: Action

        public init(
            messagesPerSecond: Double? = nil,
            bytesPerSecond: Double? = nil,
            burst: Double = 2,
            action: Action = .close
        ) {
            self.messagesPerSecond = messagesPerSecond
            self.bytesPerSecond = bytesPerSecond
            self.burst = burst
            self.action = action
        }
    }
}
