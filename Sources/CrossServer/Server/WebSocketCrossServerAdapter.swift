public import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
public import Logging
public import NIOCore
public import NIOPosix
import NIOSSL
import Synchronization

/// A WebSocket server with named events, replies, rooms and user ids.
///
/// ```swift
/// let adapter = WebSocketCrossServerAdapter(serverName: "chat-1", listening: .port(9000))
/// adapter.onWebSocketEvent("say") { socket, payload, reply in
///     try adapter.broadcast("say", payload)
/// }
/// try await adapter.run()
/// ```
///
/// Every method may be called from any thread. Handlers of one client run one after the other in the order of its
/// messages. A plain handler runs on the client's event loop and must not block; an asynchronous one starts there too,
/// and the client's next message waits for its end, unless ``HandlerOptions`` say otherwise. A handler should not start a
/// `Task` of its own: no limit holds for it, and nobody cancels it or waits for it.
public final class WebSocketCrossServerAdapter: Sendable {
    /// The server's name in its cluster and its logs.
    public let serverName: String
    public let configuration: Configuration
    public let logger: Logger

    let listenAddress: ListenAddress?
    let eventLoopGroup: any EventLoopGroup
    let refusals = ConnectionRefusals()
    let acceptFailures = AcceptFailureLog()
    let clientSockets: ClientSockets
    let clients: LocalClients
    let cluster: ClusterServices
    let lifecycle = Mutex(Lifecycle())
    let readinessReports = Reports<Readiness>(maximumWaiting: 100)
    let metrics = Mutex<MetricsBook?>(nil)
    let lastReadiness = Mutex(Readiness(problems: [.notRunning]))

    /// - Parameters:
    ///   - serverName: unique in a cluster; may be empty for a single server.
    ///   - bus: what connects the servers of a cluster, for example a `RedisBus`; nil for a single server.
    ///   - listening: where to accept connections; nil for a server whose connections are handed over by another one
    ///     (``httpUpgrader()``, ``attach(_:to:)``).
    ///   - configuration: see ``Configuration``.
    ///   - eventLoopGroup: the process-wide group by default, with one loop per core.
    ///   - logger: label `crossserver` by default.
    public init(
        serverName: String = "",
        listening listenAddress: ListenAddress? = nil,
        bus: (any Bus)? = nil,
        configuration: Configuration = Configuration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "crossserver")
    ) {
        self.serverName = serverName
        self.listenAddress = listenAddress
        self.configuration = configuration
        self.eventLoopGroup = eventLoopGroup
        var logger = logger
        if !serverName.isEmpty { logger[metadataKey: "server"] = "\(serverName)" }
        self.logger = logger
        let eventLoop = bus?.eventLoop ?? eventLoopGroup.next()
        let start = NIODeadline.now()
        let transport = Transport(
            name: serverName,
            configuration: configuration,
            bus: bus,
            eventLoop: eventLoop,
            start: start,
            logger: logger
        )
        self.clientSockets = ClientSockets(configuration, logger: logger)
        self.clients = LocalClients(self.clientSockets, RoomChannels(transport))
        self.cluster = ClusterServices(transport, self.clients, start: start)
        if listenAddress != nil { self.cluster.serveClients() }
    }
}

// Parts that have no name of their own here
extension WebSocketCrossServerAdapter {
    var transport: Transport { self.cluster.transport }
    var connections: ConnectionTable { self.clientSockets.connections }
    var loops: LoopTable { self.clientSockets.loops }
}

// `isStopping`, `release` and `quiesce` are where they belong.
extension WebSocketCrossServerAdapter: ClientSockets.Owner {}
