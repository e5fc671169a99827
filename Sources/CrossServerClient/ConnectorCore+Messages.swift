import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore

extension ConnectorCore {
    struct RequestOptions: Sendable {
        var timeout: TimeAmount
        var pendingTimeout: TimeAmount
        var onPending: (@Sendable () -> Void)?
    }

    /// Who waits for a reply.
    struct Waiter {
        let continuation: CheckedContinuation<Payload, any Error>
        let timeout: Scheduled<Void>
        let pending: Scheduled<Void>?

        func finish(_ result: Result<Payload, any Error>) {
            self.timeout.cancel()
            self.pending?.cancel()
            self.continuation.resume(with: result)
        }
    }

    func request(
        _ message: EncodedMessage,
        id: String,
        options: RequestOptions,
        _ continuation: CheckedContinuation<Payload, any Error>
    ) {
        if self.pending.isFull {
            self.gauge.taken(message.payloadSize)
            let error = WebSocketConnectorError(.tooManyPending, "\(self.pending.maximum) replies are awaited already")
            return continuation.resume(throwing: error)
        }
        if let error = self.transmit(message) { return continuation.resume(throwing: error) }
        let timeout = self.schedule(in: options.timeout) {
            let error = WebSocketConnectorError(.callbackTimeout, "Is callback timeout: \(id)")
            self.pending.remove(id)?.finish(.failure(error))
        }
        let pending = options.onPending.map { onPending in
            self.schedule(in: options.pendingTimeout) { onPending() }
        }
        self.pending.insert(Waiter(continuation: continuation, timeout: timeout, pending: pending), id: id)
        if self.isPaused, self.queue.level != .full { self.resumeReading() }
    }

    func cancelRequest(_ id: String) {
        self.pending.remove(id)?.finish(.failure(CancellationError()))
    }

    /// Sends the reply to a request of the server, unless the connection that it came over has ended.
    func reply(_ message: EncodedMessage, over connection: UInt64) {
        if connection == self.connection { self.send(message) } else { self.gauge.taken(message.payloadSize) }
    }

    func send(_ message: EncodedMessage) {
        if let error = self.transmit(message) {
            self.logger.debug("message dropped", metadata: ["error": "\(LogText(error))"])
        }
    }

    /// Hands a message that the gauge has admitted to the connection.
    private func transmit(_ message: EncodedMessage) -> WebSocketConnectorError? {
        self.gauge.taken(message.payloadSize)
        guard let handler = self.handler, self.state.phase == .open else { return .notOpen }
        let result = handler.send(message)
        self.readGauge()
        switch result {
        case .sent: return nil
        case .dropped: return .outboundFull
        case .closing: return .notOpen
        }
    }

    /// Tells other threads how much waits, and again as long as it is so much that they may be refused.
    private func readGauge() {
        let waiting = self.handler?.waitingBytes ?? 0
        self.gauge.setWaiting(waiting)
        guard waiting > 0, self.gaugeTimer == nil else { return }
        self.gaugeTimer = self.schedule(in: .milliseconds(10)) {
            self.gaugeTimer = nil
            self.readGauge()
        }
    }

    func received(_ message: WebSocketMessage) {
        if self.receivedHeartbeat(message) { return }
        var event: ServerEvent?
        if message.kind == .text {
            do throws(EnvelopeError) {
                let envelope = try Envelope(scanning: message.payload)
                if envelope.hasCallbackId {
                    self.receivedReply(envelope)
                } else if let name = envelope.event {
                    event = ServerEvent(
                        name: name,
                        payload: envelope.payload,
                        requestId: envelope.requestId,
                        connection: self.connection
                    )
                }
            } catch {
                // A level that is off by default: the server decides how often this happens.
                self.logger.debug("message is no event", metadata: ["problem": "\(LogText(error))"])
            }
        }
        self.holdBack(self.raise(.message(message, event: event)))
    }

    private func receivedReply(_ envelope: Envelope) {
        guard let id = envelope.callbackId, let waiter = self.pending.remove(id.string) else { return }
        if let failure = envelope.failure {
            waiter.finish(.failure(failure))
        } else {
            waiter.finish(.success(envelope.payload))
        }
    }
}
