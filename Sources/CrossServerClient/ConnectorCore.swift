import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import NIOSSL

/// What a connector keeps on its event loop: carries out what ``ConnectorState`` decides.
final class ConnectorCore {
    let eventLoop: any EventLoop
    let endpoint: Endpoint
    let tls: NIOSSLContext?
    let configuration: WebSocketConnector.Configuration
    let queue: OccurrenceQueue
    let gauge: OutboundGauge
    let status: StatusBox
    let logger: Logger

    var state: ConnectorState
    /// Tells what belongs to the attempt under way from what is left of those before.
    var attempt: UInt64 = 0
    var attemptTimer: Scheduled<Void>?
    var attemptChannel: (any Channel)?
    var waitTimer: Scheduled<Void>?

    var handler: WebSocketHandler?
    /// Counts the connections that were open.
    var connection: UInt64 = 0
    /// Whether the connection has failed, and not just ended.
    var hasFailed = false
    /// When the connection opened.
    var openedAt = NIODeadline.distantPast
    /// A connection that was given up for a missing echo, while it waits for the server's answer to our Close frame.
    var abandoned: WebSocketHandler?
    lazy var flusher = WebSocketFlusher(eventLoop: self.eventLoop)
    let webSocketConfiguration: WebSocketConfiguration

    var pending: PendingRequests<Waiter>
    var gaugeTimer: Scheduled<Void>?

    let heartbeatText: ByteBuffer
    var heartbeat = Heartbeat()
    var pingInterval: TimeAmount
    var pingTimer: Scheduled<Void>?
    var pongTimer: Scheduled<Void>?
    var isPaused = false

    init(
        eventLoop: any EventLoop,
        endpoint: Endpoint,
        tls: NIOSSLContext?,
        configuration: WebSocketConnector.Configuration,
        queue: OccurrenceQueue,
        gauge: OutboundGauge,
        status: StatusBox,
        logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.endpoint = endpoint
        self.tls = tls
        self.configuration = configuration
        self.queue = queue
        self.gauge = gauge
        self.status = status
        self.logger = logger
        self.state = ConnectorState(
            policy: ReconnectPolicy(
                fastThreshold: configuration.fastReconnectThreshold,
                fastInterval: configuration.fastReconnectInterval,
                maximumInterval: configuration.reconnectMaximumInterval
            ),
            repeatLimit: configuration.repeatLimit
        )
        self.pending = PendingRequests(maximum: configuration.maximumPendingRequests)
        self.heartbeatText = ByteBuffer(string: configuration.pingMessage)
        self.pingInterval = TimeAmount(configuration.pingInterval)
        var limits = WebSocketConfiguration()
        limits.maximumMessageSize = configuration.maximumMessageSize
        limits.closeTimeout = TimeAmount(configuration.closeTimeout)
        // The gauge has admitted what comes here; the heartbeat must find room beside it.
        limits.outbound = OutboundLimit(
            maximumWaitingBytes: configuration.maximumWaitingBytes * 2,
            policy: .dropNewest
        )
        self.webSocketConfiguration = limits
    }

    func start() {
        self.perform(self.state.start())
    }

    /// - Parameter ended: the connection whose end is the reason; nil for whatever is open now.
    func reconnect(resetAttempts: Bool, after ended: UInt64?) {
        if let ended, ended < self.connection, self.state.phase == .open { return }
        self.perform(self.state.reconnect(resetAttempts: resetAttempts, random: Self.random))
    }

    func manualClose() {
        self.perform(self.state.close())
    }

    /// As ``manualClose()``, in a hurry.
    func cancel() {
        self.manualClose()
        self.schedule(in: .milliseconds(100)) { self.handler?.terminate() }
    }

    static var random: Double { Double.random(in: 0...1) }

    func perform(_ action: ConnectorState.Action?) {
        // Before anybody hears of what the state's change leads to.
        self.publishStatus()
        switch action {
        case .connect:
            self.connect()
        case .wait(let attempt, let delay):
            self.raise(.reconnect(attempt: attempt, delay: delay))
            self.waitTimer?.cancel()
            self.waitTimer = self.schedule(in: TimeAmount(delay)) { self.perform(self.state.waited()) }
        case .closeConnection:
            self.stopUsingConnection()
            self.handler?.close(code: .closedByHand, reason: CloseCode.closedByHand.standardReason)
        case .abandon:
            self.endAttempt()
            self.raise(.close(.byHand, connection: self.connection))
            self.finish()
        case .repeatLimit(let limit):
            self.raise(.repeatLimit(limit))
            self.logger.notice(
                "gave up connecting until the application begins anew",
                metadata: ["host": "\(self.endpoint.hostHeader)", "attempts": "\(limit)"]
            )
        case .finish:
            self.finish()
        case nil:
            break
        }
    }

    /// The connection is open no more: nothing can be sent, and no reply will come.
    func stopUsingConnection() {
        self.stopHeartbeat()
        for waiter in self.pending.removeAll() { waiter.finish(.failure(WebSocketConnectorError.connectionClosed)) }
    }

    func publishStatus() {
        let isOpen = self.state.phase == .open
        let isReconnecting = self.state.isReconnecting
        self.status.withLock { status in
            status.isOpen = isOpen
            status.isReconnecting = isReconnecting
        }
    }

    private func finish() {
        self.waitTimer?.cancel()
        self.waitTimer = nil
        self.gaugeTimer?.cancel()
        self.gaugeTimer = nil
        self.abandoned?.terminate()
        self.queue.finish()
    }

    @discardableResult
    func raise(_ occurrence: ClientOccurrence) -> OccurrenceQueue.Level {
        self.queue.append(occurrence)
    }

    @discardableResult
    func schedule(in delay: TimeAmount, _ body: @escaping () -> Void) -> Scheduled<Void> {
        self.eventLoop.assumeIsolated().scheduleTask(in: delay, body)
    }
}

extension WebSocketClose {
    static let byHand = WebSocketClose(
        code: .closedByHand,
        reason: CloseCode.closedByHand.standardReason,
        wasClean: false
    )
    static let pongTimeout = WebSocketClose(
        code: .pongTimeout,
        reason: CloseCode.pongTimeout.standardReason,
        wasClean: false
    )
}
