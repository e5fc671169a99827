public import CoreMetrics
public import CrossServerWebSocket
public import NIOSSL

extension WebSocketCrossServerAdapter {
    /// How a server behaves. The defaults suit a server whose clients are the original's.
    public struct Configuration: Sendable {
        /// The application heartbeat: a text message equal to it is answered with itself and raises
        /// ``SystemEvent/clientPing``, never an event. Empty text by default; nil for none.
        public var heartbeat: String? = ""
        /// Time between pings of the protocol (RFC 6455, section 5.5.2). A client that has been silent since the last one
        /// when the next is due is cut: nothing came from it, and it has taken nothing of what waited for it. 20 s.
        public var pingInterval: Duration = .seconds(20)
        /// How long a client may stay in the background (``ClientSocket/enterBackground()``). Beyond: close 4003. 10 s.
        public var backgroundTimeout: Duration = .seconds(10)
        /// permessage-deflate (RFC 7692) for clients that offer it. None by default, as in the original.
        public var compression: PerMessageDeflate?
        /// Chooses one of the subprotocols that a client offers, in its order, or none. The first by default.
        public var selectSubprotocol: @Sendable ([String]) -> String? = { $0.first }
        /// Decides whether a client may connect; throw ``UpgradeRejection`` to refuse it with an HTTP status. Browsers
        /// cannot see the status: `UpgradeRejection.unauthorized.closing()` accepts and closes with 4011. Any other error
        /// refuses it with 500 and is logged. Runs on the connection's event loop.
        public var authorize: (@Sendable (UpgradeRequest) async throws -> Void)?
        /// The web pages that may connect. Others get `403 Forbidden`, with what to do in its body, and are counted and
        /// logged. Programs that are no browsers send no `Origin` and are not checked. Those of the server's own host.
        public var allowedOrigins = AllowedOrigins.sameHost
        /// The only path that is served; others get 404. All paths by default.
        public var path: String?
        /// Serves `wss://`. None by default.
        public var tls: TLSConfiguration?
        /// Connections that the kernel keeps until they are accepted. 1,024.
        public var backlog: Int32 = 1_024
        /// Whom ``WebSocketCrossServerAdapter/broadcast(_:_:localOnly:delivery:)`` reaches.
        public var broadcastReach = BroadcastReach.everyConnection
        /// Whether a request for an event without any listener is answered with the failure `UNKNOWN_EVENT`. Otherwise
        /// the client waits for its timeout, as with the original.
        public var answersUnknownEvents = true
        /// How the server talks to others. See ``Cluster-swift.struct``.
        public var cluster = Cluster()
        /// Takes the server's metrics, which Documentation/metrics.md lists; nil for that of the process
        /// (`MetricsSystem.bootstrap`).
        public var metricsFactory: (any MetricsFactory)?
        public var limits = Limits()
        public var shutdown = Shutdown()

        public init() {}
    }

    /// Which clients a broadcast reaches.
    public enum BroadcastReach: Sendable {
        /// Every connection, with or without an id, as in the original.
        case everyConnection
        /// Only connections that an id is bound to.
        case identifiedOnly
    }

    /// How a server stops.
    public struct Shutdown: Sendable {
        /// Clients that are closed per second, so that they do not all come back to the other servers at once. 1,000.
        public var clientsPerSecond = 1_000
        /// The time that stopping may take; then the connections and handlers that are left are cut. 30 s.
        public var deadline: Duration = .seconds(30)

        public init() {}
    }
}

/// Where a server listens.
public struct ListenAddress: Sendable, Hashable {
    enum Kind: Hashable {
        case host(String, port: Int)
        case unixDomainSocket(path: String)
    }

    let kind: Kind

    /// A TCP port on all IPv4 interfaces. Port 0 lets the kernel choose one.
    public static func port(_ port: Int) -> ListenAddress {
        ListenAddress(kind: .host("0.0.0.0", port: port))
    }

    /// A TCP port on the interface with the name or address. Port 0 lets the kernel choose one.
    public static func host(_ host: String, port: Int) -> ListenAddress {
        ListenAddress(kind: .host(host, port: port))
    }

    /// A Unix domain socket. A socket file that a dead server left there is removed first.
    public static func unixDomainSocket(path: String) -> ListenAddress {
        ListenAddress(kind: .unixDomainSocket(path: path))
    }
}
