import CrossServerTLS
import CrossServerWebSocket
public import Logging
public import NIOCore
public import NIOPosix
import NIOSSL
public import ServiceLifecycle
import Synchronization

/// A WebSocket client with named events, replies, a heartbeat and reconnection.
///
/// ```swift
/// let client = try WebSocketConnector(url: "ws://localhost:9000", parameters: ["id": "42"])
/// client.on(Say.self) { say in print(say.msg) }
/// client.on(.close) { close in
///     if close.code.allowsReconnect { client.reconnect() }
/// }
/// async let running: Void = client.run()
/// ```
///
/// Every method may be called from any thread. Listeners start in the order in which things happened, in the task of
/// ``run()`` or in a child of it. A plain one must not block; an asynchronous one is waited for by nobody, so that it may
/// wait for a reply itself. One that is registered with `oneAtATime` starts again only when it has ended. The listeners of
/// a request of the server run one after the other; another request does not wait for them. Replies, heartbeats and closes
/// never wait for listeners.
public final class WebSocketConnector: Sendable {
    public let configuration: Configuration
    public let logger: Logger

    /// What other threads may know about the event loop's state.
    struct Status: Sendable {
        var hasRun = false
        var isOpen = false
        var isReconnecting = false
        var pingInterval: Duration
    }

    let eventLoop: any EventLoop
    let core: NIOLoopBoundBox<ConnectorCore>
    let queue: OccurrenceQueue
    /// Where asynchronous listeners start on systems whose task groups cannot start them in place.
    let executor: LoopExecutor
    let gauge: OutboundGauge
    let status: StatusBox
    let callbackIDs = CallbackIDs()
    private let listenerTable = Mutex(ClientListeners())
    let undecodable = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - url: `ws://` or `wss://`, with a host, and a port if it is not the scheme's own.
    ///   - parameters: added to the query of the URL.
    ///   - eventLoopGroup: the process-wide group by default. One of its loops is used.
    ///   - logger: label `crossserver.client` by default.
    /// - Throws: ``WebSocketConnectorError`` with `invalidURL` or `invalidConfiguration`.
    public init(
        url: String,
        parameters: QueryParameters = QueryParameters(),
        configuration: Configuration = Configuration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "crossserver.client")
    ) throws(WebSocketConnectorError) {
        try configuration.validate()
        let endpoint = try Endpoint(url: url, parameters: parameters)
        var tls: NIOSSLContext?
        if endpoint.isSecure {
            do {
                tls = try NIOSSLContext(configuration: (configuration.tls ?? .makeClientConfiguration()).modern)
            } catch {
                throw WebSocketConnectorError(.invalidConfiguration, "the TLS configuration cannot be used: \(error)")
            }
        }
        self.configuration = configuration
        self.logger = logger
        self.eventLoop = eventLoopGroup.next()
        self.queue = OccurrenceQueue(
            maximumCount: configuration.maximumQueuedMessages,
            maximumBytes: configuration.maximumQueuedBytes,
            maximumRunning: configuration.maximumRunningListeners
        )
        self.executor = LoopExecutor(eventLoop: self.eventLoop)
        self.gauge = OutboundGauge(maximum: configuration.maximumWaitingBytes)
        self.status = StatusBox(Status(pingInterval: configuration.pingInterval))
        self.core = .makeBoxSendingValue(
            ConnectorCore(
                eventLoop: self.eventLoop,
                endpoint: endpoint,
                tls: tls,
                configuration: configuration,
                queue: self.queue,
                gauge: self.gauge,
                status: self.status,
                logger: logger
            ),
            eventLoop: self.eventLoop
        )
    }

    /// Whether messages can be sent now.
    public var isOpen: Bool { self.status.withLock { $0.isOpen } }

    /// Whether the connector tries to connect again, or waits to.
    public var isReconnecting: Bool { self.status.withLock { $0.isReconnecting } }

    /// Time between heartbeats.
    public var pingInterval: Duration { self.status.withLock { $0.pingInterval } }

    /// Changes the time between heartbeats.
    ///
    /// - Parameters:
    ///   - interval: must be longer than zero; another is ignored.
    ///   - immediate: whether the wait for the next heartbeat begins anew with the new interval. Otherwise it ends as
    ///     it would have.
    public func setPingInterval(_ interval: Duration, immediate: Bool = false) {
        guard interval > .zero else {
            self.logger.warning("ping interval ignored: it must be longer than zero")
            return
        }
        self.status.withLock { $0.pingInterval = interval }
        self.onCore { $0.setPingInterval(interval, immediate: immediate) }
    }

    /// Sends a heartbeat now, unless one is under way, and begins the wait for the next one anew.
    package func sendHeartbeat() {
        self.onCore { $0.ping() }
    }

    /// Connects again: at once closes an open connection (4001), then waits as after a failure and connects.
    ///
    /// Does nothing while the connector connects or waits to, and after its end. In a handler of `close` or `error` it
    /// is about the connection that has ended: it does nothing when there is a new one already.
    ///
    /// - Parameter resetAttempts: counts attempts from the beginning; a wait under way is replaced by that of the first
    ///   attempt, and a connector that has reached its repeat limit begins anew.
    public func reconnect(resetAttempts: Bool = false) {
        let ended = HandledConnection.number
        self.onCore { $0.reconnect(resetAttempts: resetAttempts, after: ended) }
    }

    /// Closes the connection with 4001 `client manual close`, for good: ``run()`` returns when the listeners of `close`
    /// have run. Safe at any time, also while the connector connects.
    public func manualClose() {
        self.onCore { $0.manualClose() }
    }

    func onCore(_ body: @escaping @Sendable (ConnectorCore) -> Void) {
        // Never run in place: calls are carried out in their order, whatever thread they come from.
        self.eventLoop.execute { [core = self.core] in body(core.value) }
    }
}

// Listeners
extension WebSocketConnector {
    func listeners<Result>(_ body: (ClientListeners) -> Result) -> Result {
        self.listenerTable.withLock { body($0) }
    }

    /// What is let go of is destroyed behind the lock: a closure's objects are the application's, and so is what they do
    /// at their end.
    func changeListeners(_ body: (inout ClientListeners) -> Void) {
        let former = self.listenerTable.withLock { listeners in
            let former = listeners
            body(&listeners)
            return former
        }
        withExtendedLifetime(former) {}
    }
}

extension WebSocketConnector: Service {
    /// Connects and keeps connected until ``manualClose()``, a graceful shutdown or the cancellation of the task; runs the
    /// listeners meanwhile.
    ///
    /// A graceful shutdown is the same as ``manualClose()``. A cancelled task waits for the close handshake for 100 ms
    /// at most, and messages that were not handled yet are dropped. Listeners that run are waited for; in a cancelled task
    /// they are cancelled.
    ///
    /// - Throws: ``WebSocketConnectorError`` with `alreadyRun`.
    public func run() async throws {
        let isFirst = self.status.withLock { status in
            defer { status.hasRun = true }
            return !status.hasRun
        }
        guard isFirst else { throw WebSocketConnectorError(.alreadyRun, "a connector runs once; make a new one") }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                self.onCore { $0.start() }
                await self.dispatchOccurrences()
            } onGracefulShutdown: {
                self.manualClose()
            }
        } onCancel: {
            self.queue.discardMessages()
            self.onCore { $0.cancel() }
        }
        // They run no more, and usually hold the connector.
        self.changeListeners { $0 = ClientListeners() }
    }
}

/// A `Mutex` that several objects share.
final class StatusBox: Sendable {
    private let status: Mutex<WebSocketConnector.Status>

    init(_ status: WebSocketConnector.Status) {
        self.status = Mutex(status)
    }

    func withLock<Result: Sendable>(_ body: (inout sending WebSocketConnector.Status) -> Result) -> Result {
        self.status.withLock { body(&$0) }
    }
}
