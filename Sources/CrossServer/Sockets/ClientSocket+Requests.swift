import CrossServerWebSocket
public import CrossServerWire
import NIOCore

// With a timeout the client's reply is awaited
extension ClientSocket {
    /// Asks this client and waits for the reply: what its listener of the event returns.
    ///
    /// Replies do not wait for the client's handlers on this server, so that a handler may ask its own client. A client
    /// of the original ignores the question: the call ends with `timeout`.
    ///
    /// - Parameters:
    ///   - timeout: the longest time to wait.
    /// - Returns: the reply; ``Payload/absent`` when the client has handled the event and returned nothing.
    /// - Throws: ``RequestFailure`` when the client answers with one: `UNKNOWN_EVENT` when it has no listener,
    ///   `INTERNAL_ERROR` when that failed; ``CrossServerError`` with `timeout`, `socketClosed` as soon as the
    ///   connection has ended, `overloaded` beyond ``Limits/maximumOutstandingRequestsPerClient`` or when too much waits
    ///   to be sent, or `stopping`; `CancellationError` as soon as the task is cancelled.
    @discardableResult
    public func emit(_ event: String, _ payload: Payload = .absent, timeout: Duration) async throws -> Payload {
        try Task.checkCancellation()
        let request = ClientRequest(event, payload)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.ask(request, timeout: timeout) { continuation.resume(with: $0) }
                // The handler below may have run before there was anything to cancel.
                if Task.isCancelled { self.cancel(request) }
            }
        } onCancel: {
            self.cancel(request)
        }
    }

    /// Asks this client and waits for the reply: what its listener of the event type returns.
    ///
    /// Parameters and errors are those of ``emit(_:_:timeout:)``; beside them `EncodingError`, and `DecodingError` when
    /// the reply has another shape.
    @discardableResult
    public func emit<E: Event>(_ event: E, timeout: Duration) async throws -> E.Reply {
        let reply = try await self.emit(E.name, Payload(encoding: event), timeout: timeout)
        if let none = NoReply() as? E.Reply { return none }
        return try reply.decode(E.Reply.self)
    }

    /// Sends a request.
    ///
    /// - Parameter completion: called once, on the event loop, or at once when that has too much to do already.
    func ask(_ request: ClientRequest, timeout: Duration, completion: @escaping ClientRequest.Completion) {
        let isTaken = self.loop.postIfRoom {
            if let connection = self.connection {
                connection.ask(request, timeout: TimeAmount(timeout), completion: completion)
            } else {
                completion(.failure(CrossServerError.connectionEnded))
            }
        }
        if !isTaken { completion(.failure(CrossServerError.overloaded)) }
    }

    /// Stops waiting for the reply to a request, if it is still waited for.
    func cancel(_ request: ClientRequest) {
        self.onConnection { $0.endRequest(request.id, with: .failure(CancellationError())) }
    }
}

/// A request of this server to a client.
struct ClientRequest: Sendable {
    typealias Completion = @Sendable (Result<Payload, any Error>) -> Void

    /// No other client can guess it. Counts on the connection that it is sent to only.
    let id: String
    let message: EncodedMessage

    init(_ event: String, _ payload: Payload) {
        let id = String(UInt64.random(in: .min ... .max), radix: 36)
        let size = event.utf8.count + payload.buffer.readableBytes + 64
        self.id = id
        self.message = EncodedMessage(kind: .text, payloadCapacity: size) { buffer in
            buffer.writeEnvelope(event: event, payload: payload, requestId: CallbackID(id))
        }
    }
}

extension CrossServerError {
    static let connectionEnded = CrossServerError(.socketClosed, "the client's connection has ended")
}
