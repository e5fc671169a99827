import CrossServerWebSocket
import CrossServerWire
import NIOCore
import Synchronization

// Requests to the client that wait for its replies
extension ClientConnection {
    func ask(_ request: ClientRequest, timeout: TimeAmount, completion: @escaping ClientRequest.Completion) {
        if let error = self.send(request) { return completion(.failure(error)) }
        self.requests[request.id] = completion
        let loop = self.socket.loop
        LoopCounters.increment(loop.counters.outstandingRequests)
        loop.connections.requestDeadlines.add(
            loop.eventLoop.now + timeout,
            id: request.id,
            of: self.socket,
            outstanding: loop.counters.outstandingRequests.load(ordering: .relaxed)
        )
        if self.isPaused { self.updateReading() }
    }

    private func send(_ request: ClientRequest) -> CrossServerError? {
        let maximum = self.shared.configuration.limits.maximumOutstandingRequestsPerClient
        guard self.requests.count < maximum, self.requests[request.id] == nil else {
            return CrossServerError(.overloaded, "\(maximum) requests to the client wait for its replies already")
        }
        if self.owner.isStopping { return CrossServerError(.stopping, "the server is stopping") }
        switch self.transmit(request.message) {
        // Writing can find that the connection has failed.
        case .sent: return self.isEnded ? .connectionEnded : nil
        case .dropped: return CrossServerError(.overloaded, "the client reads too slowly")
        case .closing: return .connectionEnded
        }
    }

    func isOutstanding(_ id: String) -> Bool { self.requests[id] != nil }

    func requestTimedOut(_ id: String) {
        self.endRequest(id, with: .failure(CrossServerError(.timeout, "the client did not answer in time")))
    }

    /// - Returns: false for a request that nobody waits for: unknown, answered, expired or cancelled.
    @discardableResult
    func endRequest(_ id: String, with result: Result<Payload, any Error>) -> Bool {
        guard let completion = self.requests.removeValue(forKey: id) else { return false }
        LoopCounters.add(-1, to: self.socket.loop.counters.outstandingRequests)
        completion(result)
        return true
    }

    func endAllRequests() {
        for id in self.requests.keys { self.endRequest(id, with: .failure(CrossServerError.connectionEnded)) }
    }

    /// Takes a reply that would otherwise wait for the handler that may be waiting for it.
    ///
    /// - Returns: whether the message is a reply.
    func takeReply(_ message: WebSocketMessage) -> Bool {
        guard !self.requests.isEmpty, message.isText else { return false }
        let envelope: Envelope
        do throws(EnvelopeError) {
            envelope = try Envelope(scanning: message.payload)
        } catch {
            // Its turn comes, and then the error is reported.
            return false
        }
        guard envelope.isReplyToServer else { return false }
        self.received(reply: envelope)
        if self.shared.hasMessageListeners { self.enqueue(.rawMessage(message)) }
        return true
    }

    func received(reply: Envelope) {
        let result: Result<Payload, any Error> = reply.failure.map { .failure($0) } ?? .success(reply.payload)
        guard let id = reply.requestId, self.endRequest(id.string, with: result) else {
            return LoopCounters.increment(self.socket.loop.counters.repliesIgnored)
        }
    }
}

extension Envelope {
    /// Whether the client answers a request of its server, or says so.
    var isReplyToServer: Bool { self.event == nil && self.hasRequestId }
}
