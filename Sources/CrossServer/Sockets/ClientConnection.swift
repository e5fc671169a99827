import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore

/// The part of a client's connection that lives on its event loop: limits, heartbeat and deadlines.
final class ClientConnection {
    let socket: ClientSocket
    let shared: ClientSockets
    let owner: any ClientSockets.Owner
    /// The place in ``LoopConnections/all``.
    var position = 0
    var nextPing: NIODeadline = .distantFuture
    var isInBackground = false {
        didSet { if !self.isInBackground { self.backgroundSince = nil } }
    }

    /// Bytes; -1 without a heartbeat.
    private let heartbeatSize: Int
    private(set) var handler: WebSocketHandler?
    /// Whether the client was pinged since it showed that it lives.
    private var isAwaitingSignOfLife = false
    /// Whether the answer to the last ping has not come.
    private var isAwaitingPong = false
    /// Whether a heartbeat of the application has come.
    private var sendsHeartbeats = false
    private var backgroundSince: NIODeadline?
    private var rateLimiter: RateLimiter?
    private(set) var isPaused = false
    /// When reading was stopped, or a message was handled since then.
    var pausedAt: NIODeadline = .distantFuture
    /// Owned by the extension that runs handlers.
    // It calls nothing of this connection, so that no access can come into another one: not checked at run time.
    @exclusivity(unchecked) var work = HandlerQueue()
    var isDraining = false
    /// Owned by the extension about the end, as the next three.
    var hasRunCloseListeners = false
    /// The task that runs the listeners of `close`.
    var closeTask: Int?
    /// The id is released.
    var hasLeft = false
    var handlersCancelledAt: NIODeadline?
    /// Requests to the client that wait for its replies, by their ids. Owned by the extension that sends them.
    var requests: [String: ClientRequest.Completion] = [:]

    init(socket: ClientSocket, shared: ClientSockets, owner: any ClientSockets.Owner) {
        self.socket = socket
        self.shared = shared
        self.owner = owner
        self.heartbeatSize = shared.heartbeat?.readableBytes ?? -1
        if let rate = shared.configuration.limits.rate {
            self.rateLimiter = RateLimiter(rate, now: socket.loop.eventLoop.now)
        }
    }

    /// Takes the handler and makes the connection known. Its `connection` listeners run when the handler is in place.
    func start(with handler: WebSocketHandler) {
        self.handler = handler
        self.socket.connection = self
        self.socket.loop.connections.add(self)
        self.shared.connections.opened()
        let socket = self.socket
        // The handler is added to the pipeline after this call; what the client sends meanwhile is queued.
        socket.loop.eventLoop.execute {
            socket.connection?.opened()
        }
    }

    func send(_ message: EncodedMessage) {
        _ = self.transmit(message)
    }

    var isEnded: Bool { self.handler == nil }

    func transmit(_ message: EncodedMessage) -> SendResult {
        guard let handler = self.handler else { return .closing }
        let result = handler.send(message)
        if case .sent = result { LoopCounters.increment(self.socket.loop.counters.messagesSent) }
        return result
    }

    func reply(payloadSize: Int, writing: (inout ByteBuffer) -> Void) {
        guard case .sent = self.handler?.send(.text, payloadSize: payloadSize, writing: writing) else { return }
        LoopCounters.increment(self.socket.loop.counters.messagesSent)
    }

    /// Whether there may be something among what was not read that cannot wait for handlers: an answer of the client, or a
    /// heartbeat, without whose echo the client would give up the connection.
    var mayReadAhead: Bool { self.isAwaitingPong || self.sendsHeartbeats || !self.requests.isEmpty }

    /// - Parameter isReadingAhead: whether reading goes on only to find an answer.
    func setPaused(_ isPaused: Bool, isReadingAhead: Bool) {
        guard self.isPaused != isPaused else { return }
        self.isPaused = isPaused
        if isPaused {
            self.pausedAt = self.socket.loop.eventLoop.now
            self.handler?.pauseReading()
        } else {
            // A pong may be among what was not read.
            if !isReadingAhead { self.isAwaitingSignOfLife = false }
            self.handler?.resumeReading()
        }
    }

    /// Before the listeners of `connection` have ended it refuses the client, none of whose messages is handled then.
    func close(_ code: CloseCode, reason: String) {
        if self.work.isOpening { self.work.refuseMessages() }
        self.handler?.close(code: code, reason: reason)
    }

    func terminate() {
        if self.work.isOpening { self.work.refuseMessages() }
        self.handler?.terminate()
    }

    /// Bytes in memory, as the server's budget knows them.
    var heldBytes: Int { self.handler?.heldBytes ?? 0 }

    /// Makes the connections that hold most be closed, if all of the server's hold too much, and returns what they have freed.
    func relieveMemory() {
        self.shared.memoryRelief.returnMemory()
        if self.shared.memoryRelief.budget.isExceeded { self.shared.memoryRelief.begin() }
    }

    /// Closes the connection and gives back at once what it holds.
    func shed(_ code: CloseCode, reason: String) {
        self.cancelHandlers()
        self.handler?.shed(code: code, reason: reason)
    }

    func checkDeadlines(now: NIODeadline, schedule: LoopConnections.Schedule) {
        if self.isEnded { return self.checkLingering(now: now) }
        self.checkPause(now: now)
        if self.isInBackground {
            let since = self.backgroundSince ?? now
            self.backgroundSince = since
            if now - since >= schedule.backgroundTimeout {
                self.isInBackground = false
                self.close(.backgroundTimeout, reason: CloseCode.backgroundTimeout.standardReason)
            }
        }
        self.handler?.updateAccount(exactly: true)
        // One that is closing has a time of its own for that.
        guard now >= self.nextPing, let handler = self.handler, handler.isOpen else { return }
        self.nextPing = now + schedule.pingInterval
        if handler.takeSignOfLife() { self.isAwaitingSignOfLife = false }
        // While nothing is read from the client its pong cannot arrive either.
        if self.isAwaitingSignOfLife, !self.isPaused {
            self.terminate()
        } else {
            self.isAwaitingSignOfLife = true
            self.isAwaitingPong = true
            handler.ping()
            if self.isPaused { self.updateReading() }
        }
    }
}

extension ClientConnection: WebSocketHandlerDelegate {
    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        let counters = self.socket.loop.counters
        LoopCounters.increment(counters.messagesReceived)
        if self.rateLimiter != nil, !self.isWithinRate(message) { return }
        if message.payload.readableBytes == self.heartbeatSize, message.payload == self.shared.heartbeat {
            self.receivedHeartbeat(message)
        } else {
            self.enqueue(message)
        }
    }

    private func receivedHeartbeat(_ message: WebSocketMessage) {
        self.sendsHeartbeats = true
        // Answered at once, however slow the client's handlers are.
        self.send(EncodedMessage(text: message.payload))
        self.enqueue(.clientPing)
        if self.shared.hasMessageListeners { self.enqueue(.rawMessage(message)) }
    }

    private func isWithinRate(_ message: WebSocketMessage) -> Bool {
        let now = self.socket.loop.eventLoop.now
        if self.rateLimiter?.allows(bytes: message.payload.readableBytes, now: now) != false { return true }
        LoopCounters.increment(self.socket.loop.counters.messagesOverRate)
        if case .close = self.shared.configuration.limits.rate?.action {
            self.close(.policyViolation, reason: "rate limit")
        }
        return false
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {
        self.isAwaitingPong = false
        self.enqueue(.pong(payload))
    }

    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {
        self.enqueue(.error(error))
    }

    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {
        LoopCounters.increment(self.socket.loop.counters.messagesDropped)
        self.shared.throttles.slowClient.log(self.shared.logger, level: .notice, "messages dropped: slow client")
    }

    var webSocketQueuedBytes: Int { self.work.heldBytes }

    func webSocketExceedsMemory(_ handler: WebSocketHandler) {
        let relief = self.shared.memoryRelief
        // Not from within what the connection is doing.
        self.socket.loop.eventLoop.execute { relief.begin() }
    }

    func webSocketInputEnded(_ handler: WebSocketHandler) {
        self.enqueue(.inputEnded)
    }

    func webSocketShouldQuiesce(_ handler: WebSocketHandler) {
        self.owner.quiesce()
    }

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        self.handler = nil
        self.socket.markEnded()
        self.endAllRequests()
        self.connectionEnded(close)
    }
}
