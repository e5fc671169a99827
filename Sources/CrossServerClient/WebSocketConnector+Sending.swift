import CrossServerWebSocket
public import CrossServerWire
import NIOCore

extension WebSocketConnector {
    /// Sends an event and waits for the reply. An event without a reply is waited for until the server has handled it.
    ///
    /// - Parameters:
    ///   - timeout: ``Configuration-swift.struct/callbackTimeout`` when nil.
    ///   - pendingTimeout: ``Configuration-swift.struct/pendingTimeout`` when nil.
    ///   - onPending: called once when the reply takes longer than `pendingTimeout`. Runs on the event loop and must
    ///     not block.
    /// - Throws: ``WebSocketConnectorError``; ``CrossServerWire/RequestFailure`` when the server answers with one;
    ///   `DecodingError` when the reply has another shape; `CancellationError` as soon as the task is cancelled.
    @discardableResult
    public func emit<E: Event>(
        _ event: E,
        timeout: Duration? = nil,
        pendingTimeout: Duration? = nil,
        onPending: (@Sendable () -> Void)? = nil
    ) async throws -> E.Reply {
        let reply = try await self.emit(
            E.name,
            Payload(encoding: event),
            timeout: timeout,
            pendingTimeout: pendingTimeout,
            onPending: onPending
        )
        if let none = NoReply() as? E.Reply { return none }
        return try reply.decode(E.Reply.self)
    }

    /// Sends an event and waits for the reply, as bytes.
    ///
    /// Parameters and errors are those of ``emit(_:timeout:pendingTimeout:onPending:)``; the reply is not decoded.
    @discardableResult
    public func emit(
        _ event: String,
        _ payload: Payload = .absent,
        timeout: Duration? = nil,
        pendingTimeout: Duration? = nil,
        onPending: (@Sendable () -> Void)? = nil
    ) async throws -> Payload {
        try Task.checkCancellation()
        let id = self.callbackIDs.next()
        let message = Self.message(event, payload, callbackId: CallbackID(id))
        try self.admit(message)
        let options = ConnectorCore.RequestOptions(
            timeout: TimeAmount(timeout ?? self.configuration.callbackTimeout),
            pendingTimeout: TimeAmount(pendingTimeout ?? self.configuration.pendingTimeout),
            onPending: onPending
        )
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.onCore { $0.request(message, id: id, options: options, continuation) }
                // The handler below may have run before there was anything to cancel.
                if Task.isCancelled { self.onCore { $0.cancelRequest(id) } }
            }
        } onCancel: {
            self.onCore { $0.cancelRequest(id) }
        }
    }

    /// Sends an event without asking for a reply. It is lost without notice when the connection ends before it is out.
    ///
    /// - Throws: ``WebSocketConnectorError`` with `notOpen` or `outboundFull`; `EncodingError`.
    public func send(_ event: some Event) throws {
        try self.send(type(of: event).name, Payload(encoding: event))
    }

    /// Sends an event without asking for a reply. It is lost without notice when the connection ends before it is out.
    ///
    /// - Throws: ``WebSocketConnectorError`` with `notOpen` or `outboundFull`.
    public func send(_ event: String, _ payload: Payload = .absent) throws(WebSocketConnectorError) {
        let message = Self.message(event, payload, callbackId: nil)
        try self.admit(message)
        self.onCore { $0.send(message) }
    }

    private func admit(_ message: EncodedMessage) throws(WebSocketConnectorError) {
        guard self.isOpen else { throw .notOpen }
        guard self.gauge.admit(message.payloadSize) else { throw .outboundFull }
    }

    private static func message(_ event: String, _ payload: Payload, callbackId: CallbackID?) -> EncodedMessage {
        let capacity = event.utf8.count + payload.buffer.readableBytes + 80
        return EncodedMessage(kind: .text, payloadCapacity: capacity) { buffer in
            buffer.writeEnvelope(event: event, payload: payload, callbackId: callbackId)
        }
    }
}
