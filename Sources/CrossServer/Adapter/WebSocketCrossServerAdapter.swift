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
    let heartbeat: ByteBuffer?
    let logThrottles = LogThrottles()
    let refusals = ConnectionRefusals()
    let acceptFailures = AcceptFailureLog()
    let clients: LocalClients
    let memoryRelief: MemoryRelief
    let cluster: Cluster
    let lifecycle = Mutex(Lifecycle())
    let readinessReports = Reports<Readiness>(maximumWaiting: 100)
    let metrics = Mutex<MetricsBook?>(nil)
    let lastReadiness = Mutex(Readiness(problems: [.notRunning]))
    private let listenerTable = Mutex(Listeners())

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
        self.heartbeat = configuration.heartbeat.map { ByteBuffer(string: $0) }
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
        self.clients = LocalClients(configuration: configuration, roomChannels: RoomChannels(transport))
        self.memoryRelief = MemoryRelief(
            budget: MemoryBudget(limit: configuration.limits.maximumMemory),
            loops: self.clients.loops,
            logger: logger
        )
        self.cluster = Cluster(transport, self.clients, start: start)
        if listenAddress != nil { self.cluster.serveClients() }
    }
}

// Listeners
extension WebSocketCrossServerAdapter {
    func listeners<Result>(_ body: (Listeners) -> Result) -> Result {
        self.listenerTable.withLock { body($0) }
    }

    /// What is let go of is destroyed behind the lock: a closure's objects are the application's, and so is what they do
    /// at their end.
    func changeListeners(_ body: (inout Listeners) -> Void) {
        let former = self.listenerTable.withLock { listeners in
            let former = listeners
            body(&listeners)
            return former
        }
        withExtendedLifetime(former) {}
    }

    /// Whether the listener may run now. One that runs once is removed before it does.
    func claim<Arguments>(_ listener: Listener<Arguments>) -> Bool {
        guard listener.claim() else { return false }
        if listener.isOnce { self.changeListeners { $0.removeSpent() } }
        return true
    }

    var transport: Transport { self.cluster.transport }
    var connections: ConnectionTable { self.clients.connections }
    var loops: LoopTable { self.clients.loops }

    var hasMessageListeners: Bool { self.listeners { !$0.system.message.isEmpty } }
}
