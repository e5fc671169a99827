import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import NIOPosix
import NIOSSL

// Attempts to connect
extension ConnectorCore {
    func connect() {
        self.attempt += 1
        let attempt = self.attempt
        let timeout = TimeAmount(self.configuration.connectTimeout)
        self.attemptTimer = self.schedule(in: timeout) {
            let error = WebSocketConnectorError(
                .connectTimeout,
                "no connection to \(self.endpoint.hostHeader) within \(self.configuration.connectTimeout)"
            )
            self.attemptFailed(attempt, error)
        }
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(timeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: self.endpoint.host, port: self.endpoint.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.connected(channel, attempt)
                case .failure(let error): self.attemptFailed(attempt, error)
                }
            }
    }

    private func connected(_ channel: any Channel, _ attempt: UInt64) {
        guard attempt == self.attempt, self.state.phase == .connecting else {
            channel.close(promise: nil)
            return
        }
        self.attemptChannel = channel
        let handshake = ClientHandshake(
            host: self.endpoint.hostHeader,
            target: self.endpoint.target,
            headers: self.configuration.headers,
            subprotocols: self.configuration.subprotocols,
            deflate: self.configuration.compression
        )
        do {
            let pipeline = channel.pipeline.syncOperations
            if let tls = self.tls {
                try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: self.endpoint.serverName))
            }
            try pipeline.addHandler(
                ClientHandshakeHandler(
                    handshake: handshake,
                    upgraded: { _, _, deflate in self.opened(deflate) },
                    failed: { self.attemptFailed(attempt, $0) }
                )
            )
        } catch {
            self.attemptFailed(attempt, error)
        }
    }

    private func opened(_ deflate: NegotiatedDeflate?) -> WebSocketHandler {
        let handler = WebSocketHandler(
            role: .client,
            configuration: self.webSocketConfiguration,
            deflate: deflate,
            deflateConfiguration: self.configuration.compression ?? PerMessageDeflate(),
            flusher: self.flusher,
            delegate: self
        )
        self.attemptTimer?.cancel()
        self.attemptTimer = nil
        self.attemptChannel = nil
        self.handler = handler
        self.connection += 1
        self.hasFailed = false
        self.openedAt = self.eventLoop.now
        self.isPaused = false
        self.gauge.setWaiting(0)
        self.state.opened()
        self.publishStatus()
        self.startHeartbeat()
        self.holdBack(self.raise(.open))
        return handler
    }

    private func attemptFailed(_ attempt: UInt64, _ error: any Error) {
        guard attempt == self.attempt, self.state.phase == .connecting else { return }
        self.endAttempt()
        let error = WebSocketConnectorError(refusal: error) ?? error
        self.logger.debug(
            "could not connect",
            metadata: ["host": "\(self.endpoint.hostHeader)", "error": "\(LogText(error))"]
        )
        self.raise(.error(error, connection: self.connection))
        let verdict = (error as? WebSocketConnectorError)?.verdict ?? .retry()
        self.perform(self.state.attemptFailed(verdict, random: Self.random))
    }

    /// Cuts what is left of the attempt under way; whatever it reports from now on is ignored.
    func endAttempt() {
        self.attempt += 1
        self.attemptTimer?.cancel()
        self.attemptTimer = nil
        self.attemptChannel?.close(promise: nil)
        self.attemptChannel = nil
    }
}

extension Endpoint {
    /// The name for SNI and for the certificate. Nil for an address: the certificate must hold the address then.
    var serverName: String? {
        if self.host.contains(":") { return nil }
        return (try? SocketAddress(ipAddress: self.host, port: 0)) == nil ? self.host : nil  // throws for a name
    }
}

// The connection
extension ConnectorCore: WebSocketHandlerDelegate {
    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        guard handler === self.handler else { return }
        self.received(message)
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {}

    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {
        guard handler === self.handler else { return }
        self.hasFailed = true
        self.raise(.error(error, connection: self.connection))
    }

    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {}

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        if handler === self.abandoned { self.abandoned = nil }
        guard handler === self.handler else { return }
        var close = close
        // Whether the server echoed our Close frame, with or without its reason, or went without one.
        if case .closing = self.state.phase, [.closedByHand, .abnormalClosure].contains(close.code) {
            close = WebSocketClose(
                code: .closedByHand,
                reason: CloseCode.closedByHand.standardReason,
                wasClean: close.wasClean
            )
        }
        self.connectionEnded(close)
    }

    func connectionEnded(_ close: WebSocketClose) {
        self.handler = nil
        self.gaugeTimer?.cancel()
        self.gaugeTimer = nil
        let end = ConnectorState.End(
            isError: self.hasFailed,
            hasHeld: self.eventLoop.now - self.openedAt >= TimeAmount(ReconnectPolicy.holdTime),
            isRefusal: close.code == .authenticationFailed
        )
        let action = self.state.connectionEnded(end, random: Self.random)
        self.publishStatus()
        self.stopUsingConnection()
        self.raise(.close(close, connection: self.connection))
        self.perform(action)
    }

    /// Reads no more than the listeners can take, but goes on for a while for the sake of a reply.
    func holdBack(_ level: OccurrenceQueue.Level) {
        switch level {
        case .free: break
        case .over: if self.pending.count == 0 { self.pauseReading() }
        case .full: self.pauseReading()
        }
    }

    private func pauseReading() {
        guard !self.isPaused else { return }
        self.isPaused = true
        self.handler?.pauseReading()
    }

    func resumeReading() {
        guard self.isPaused else { return }
        self.isPaused = false
        self.handler?.resumeReading()
    }
}

// The heartbeat
extension ConnectorCore {
    func setPingInterval(_ interval: Duration, immediate: Bool) {
        self.pingInterval = TimeAmount(interval)
        if immediate, self.state.phase == .open { self.schedulePing() }
    }

    func startHeartbeat() {
        self.heartbeat.reset()
        self.schedulePing()
    }

    func stopHeartbeat() {
        self.pingTimer?.cancel()
        self.pingTimer = nil
        self.pongTimer?.cancel()
        self.pongTimer = nil
        self.heartbeat.reset()
    }

    private func schedulePing() {
        self.pingTimer?.cancel()
        self.pingTimer = self.schedule(in: self.pingInterval) { self.ping() }
    }

    func ping() {
        guard let handler = self.handler, self.state.phase == .open else { return }
        self.schedulePing()
        // While nothing is read, no echo would be.
        guard !self.isPaused, self.heartbeat.tick(now: self.eventLoop.now) == .send else {
            return
        }
        // What came before does not count.
        _ = handler.takeSignOfLife()
        _ = handler.send(EncodedMessage(text: self.heartbeatText))
        self.raise(.ping)
        self.scheduleLook()
    }

    private func scheduleLook() {
        let delay = TimeAmount(self.configuration.pongTimeout / Heartbeat.looks)
        self.pongTimer = self.schedule(in: delay) { self.look() }
    }

    private func look() {
        guard let handler = self.handler, self.heartbeat.isAwaitingEcho else { return }
        // The echo may be there already, behind what the listeners have not handled.
        let isAlive = handler.takeSignOfLife() || self.isPaused
        guard self.heartbeat.look(isAlive: isAlive) else { return self.scheduleLook() }
        self.raise(.pongTimeout)
        // A server that does not answer a heartbeat does not answer a Close frame in time either.
        self.abandoned?.terminate()
        self.abandoned = handler
        handler.close(code: .pongTimeout, reason: CloseCode.pongTimeout.standardReason)
        self.connectionEnded(.pongTimeout)
    }

    /// - Returns: whether the text is a heartbeat and no message.
    func receivedHeartbeat(_ message: WebSocketMessage) -> Bool {
        guard message.kind == .text, message.payload == self.heartbeatText else { return false }
        if let roundTrip = self.heartbeat.echoed(now: self.eventLoop.now) {
            self.pongTimer?.cancel()
            self.pongTimer = nil
            self.raise(.pong(roundTrip))
        }
        return true
    }
}
