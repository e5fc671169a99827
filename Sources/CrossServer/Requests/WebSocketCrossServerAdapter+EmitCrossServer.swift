import CrossServerBus
public import CrossServerWire

// Without a timeout nobody answers
extension WebSocketCrossServerAdapter {
    /// Sends an event to other servers, and to this one, which handles it without the bus.
    ///
    /// - Parameters:
    ///   - exceptSelf: this server does not handle it.
    ///   - delivery: best effort for an event that is worthless when it is late, `latest` for one of which only
    ///     the newest counts. To other servers; this one handles it in any case.
    /// - Returns: the servers among those meant that do not get it, while others do, and why.
    /// - Throws: when nobody gets it, this server included: ``CrossServerError`` with `invalidName`, `busUnavailable`,
    ///   `overloaded` or `messageTooLarge`, with `unreachable` when no link leads to those who were named, with
    ///   `invalidConfiguration` when ``Configuration/Delivery/latest(key:)`` cannot be had; ``BusMessageError`` when
    ///   MessagePack cannot hold the payload.
    @discardableResult
    public func emitCrossServer(
        _ event: String,
        _ payload: Payload = .absent,
        to target: CrossServerTarget = .all,
        exceptSelf: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws -> [UnreachedServer] {
        try self.cluster.requests.emit(
            event,
            payload,
            to: target,
            exceptSelf: exceptSelf,
            delivery: delivery,
            completion: nil
        ).unreached
    }

    /// Sends an event to other servers, and to this one.
    ///
    /// - Throws: `EncodingError`, or as above.
    @discardableResult
    public func emitCrossServer<E: Event>(
        _ event: E,
        to target: CrossServerTarget = .all,
        exceptSelf: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws -> [UnreachedServer] {
        let payload = try Payload(encoding: event)
        return try self.emitCrossServer(E.name, payload, to: target, exceptSelf: exceptSelf, delivery: delivery)
    }
}

extension WebSocketCrossServerAdapter {
    /// Sends an event to other servers, and to this one, and waits until the bus has taken it.
    ///
    /// - Returns: how many other servers heard it; nil when the bus does not know.
    /// - Throws: as ``emitCrossServer(_:_:to:exceptSelf:delivery:)``; ``BusError`` with `outcomeUnknown` when the connection was
    ///   lost before the answer. To several servers an event goes in several messages: an error then says that at least
    ///   one of them was not sent, or perhaps not.
    @discardableResult
    public func emitCrossServerConfirmed(
        _ event: String,
        _ payload: Payload = .absent,
        to target: CrossServerTarget = .all,
        exceptSelf: Bool = false
    ) async throws -> Int? {
        try await withCheckedThrowingContinuation { continuation in
            do {
                let emission = try self.cluster.requests.emit(event, payload, to: target, exceptSelf: exceptSelf) {
                    result in
                    continuation.resume(with: result)
                }
                if !emission.isPublished { continuation.resume(returning: 0) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}

// With a timeout the replies are awaited
extension WebSocketCrossServerAdapter {
    /// Asks other servers, and this one, and waits for their replies.
    ///
    /// Each server counts once: its first reply is taken, every other is ignored and counted in ``statistics-swift.property``,
    /// and so is the reply of a server that was not asked.
    ///
    /// - Parameters:
    ///   - expecting: how many replies end the waiting. By default as many as there are servers with the names; for
    ///     ``CrossServerTarget/all`` those of all live servers, and of as many others (servers of the Node.js library) as
    ///     the bus says have heard the event.
    ///   - exceptSelf: this server is not asked.
    ///   - timeout: the longest time to wait. The original waits 5 s by default.
    /// - Returns: who answered, and who did not and why.
    /// - Throws: `CancellationError`, or as ``emitCrossServer(_:_:to:exceptSelf:delivery:)`` when nothing was sent to anyone.
    public func emitCrossServer(
        _ event: String,
        _ payload: Payload = .absent,
        to target: CrossServerTarget = .all,
        expecting: Int? = nil,
        exceptSelf: Bool = false,
        timeout: Duration
    ) async throws -> CrossServerReplies<Payload> {
        let request = ServerRequests.Request(
            event: event,
            payload: payload,
            target: target,
            exceptSelf: exceptSelf,
            expected: expecting,
            timeout: timeout
        )
        return try await self.cluster.requests.collect(request)
    }

    /// Asks other servers, and this one, and waits for their replies.
    ///
    /// A reply that does not decode counts as missing, with the reason `invalidReply`.
    ///
    /// - Throws: `EncodingError`, or as above.
    public func emitCrossServer<E: Event>(
        _ event: E,
        to target: CrossServerTarget = .all,
        expecting: Int? = nil,
        exceptSelf: Bool = false,
        timeout: Duration
    ) async throws -> CrossServerReplies<E.Reply> {
        let replies = try await self.emitCrossServer(
            E.name,
            Payload(encoding: event),
            to: target,
            expecting: expecting,
            exceptSelf: exceptSelf,
            timeout: timeout
        )
        return replies.decoded(E.Reply.self)
    }

    /// Asks other servers, and this one, and gives their replies one by one.
    ///
    /// The sequence ends with the last reply, after the servers that did not answer, or when nobody iterates any more.
    ///
    /// - Throws: as ``emitCrossServer(_:_:to:exceptSelf:delivery:)`` when nothing was sent to anyone.
    public func crossServerReplies(
        _ event: String,
        _ payload: Payload = .absent,
        to target: CrossServerTarget = .all,
        expecting: Int? = nil,
        exceptSelf: Bool = false,
        timeout: Duration
    ) throws -> AsyncStream<CrossServerResponse<Payload>> {
        let request = ServerRequests.Request(
            event: event,
            payload: payload,
            target: target,
            exceptSelf: exceptSelf,
            expected: expecting,
            timeout: timeout
        )
        // Bounded by the servers that may answer.
        let (stream, continuation) = AsyncStream<CrossServerResponse<Payload>>.makeStream()
        let number = try self.cluster.requests.request(request, .stream(continuation))
        continuation.onTermination = { [weak requests = self.cluster.requests] termination in
            if case .cancelled = termination { requests?.cancel(number) }
        }
        return stream
    }

    /// Asks other servers, and this one, and calls a closure for each reply and for each server that is missing at the end.
    ///
    /// - Parameter onResponse: runs on an event loop and must not block.
    /// - Returns: for ``deleteCrossServerCallback(_:)``.
    /// - Throws: as ``emitCrossServer(_:_:to:exceptSelf:delivery:)`` when nothing was sent to anyone.
    @discardableResult
    public func emitCrossServer(
        _ event: String,
        _ payload: Payload = .absent,
        to target: CrossServerTarget = .all,
        expecting: Int? = nil,
        exceptSelf: Bool = false,
        timeout: Duration = .seconds(5),
        onResponse: @escaping @Sendable (CrossServerResponse<Payload>) -> Void
    ) throws -> CrossServerCallback {
        let request = ServerRequests.Request(
            event: event,
            payload: payload,
            target: target,
            exceptSelf: exceptSelf,
            expected: expecting,
            timeout: timeout
        )
        return CrossServerCallback(
            number: try self.cluster.requests.request(request, .callback(self.transport.eventLoop, onResponse))
        )
    }

    /// Stops waiting: the closure is not called any more, also not for the timeout.
    public func deleteCrossServerCallback(_ callback: CrossServerCallback) {
        self.cluster.requests.cancel(callback.number)
    }
}
