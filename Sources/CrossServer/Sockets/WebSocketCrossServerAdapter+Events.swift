public import CrossServerWire

// System events
extension WebSocketCrossServerAdapter {
    /// Registers a plain listener of a system event. It runs on the client's event loop and must not block.
    ///
    /// - Parameter tag: lets several listeners be removed together.
    @discardableResult
    public func onWebSocketEvent<Arguments: Sendable>(
        _ event: SystemEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener of a system event. What the client does next is handled after its end.
    ///
    /// - Parameter options: see ``HandlerOptions``.
    @discardableResult
    public func onWebSocketEvent<Arguments: Sendable>(
        _ event: SystemEvent<Arguments>,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (Arguments) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, options: options, once: false), to: event)
    }

    /// As ``onWebSocketEvent(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func onceWebSocketEvent<Arguments: Sendable>(
        _ event: SystemEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func onceWebSocketEvent<Arguments: Sendable>(
        _ event: SystemEvent<Arguments>,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (Arguments) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, options: options, once: true), to: event)
    }

    /// Removes the listeners of a system event that have the tag, or all of them.
    public func offWebSocketEvent<Arguments: Sendable>(_ event: SystemEvent<Arguments>, tag: String? = nil) {
        self.clientSockets.changeListeners { $0.system[keyPath: event.list].remove(tag: tag) }
    }

    private func add<Arguments: Sendable>(
        _ listener: Listener<Arguments>,
        to event: SystemEvent<Arguments>
    ) -> ListenerHandle {
        self.clientSockets.changeListeners { $0.system[keyPath: event.list].add(listener) }
        return self.handle(of: listener)
    }

    private func handle<Arguments>(of listener: Listener<Arguments>) -> ListenerHandle {
        ListenerHandle { [weak sockets = self.clientSockets] in
            listener.deactivate()
            sockets?.changeListeners { $0.removeSpent() }
        }
    }
}

// Events of clients, as bytes
extension WebSocketCrossServerAdapter {
    /// Registers a plain listener of an event that clients send. It runs on the client's event loop and must not block.
    ///
    /// The listener gets the client, the payload as it came, and for a request its ``Reply``. What it throws is logged,
    /// and a request is answered with a failure (``Reply/fail(_:)``): with ``RequestFailure`` as it is, otherwise with
    /// `INTERNAL_ERROR`.
    ///
    /// - Parameter tag: lets several listeners be removed together.
    @discardableResult
    public func onWebSocketEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (ClientSocket, Payload, Reply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener. The client's next message is handled after its end, unless `options` say that it
    /// is concurrent. When the connection ends its task is cancelled, unless they say that it outlives the connection.
    ///
    /// A listener that waits should be one of these, and start no `Task` of its own: of such a task the server knows nothing.
    /// The bounds on what waits of a client do not hold for it, so that a client that sends fast makes as many as it likes;
    /// nobody cancels it when the client leaves, or waits for it when the server stops; and what it throws is lost.
    ///
    /// - Parameter options: see ``HandlerOptions``.
    @discardableResult
    public func onWebSocketEvent(
        _ event: String,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (ClientSocket, Payload, Reply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, options: options, once: false), to: event)
    }

    /// As ``onWebSocketEvent(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func onceWebSocketEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (ClientSocket, Payload, Reply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func onceWebSocketEvent(
        _ event: String,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (ClientSocket, Payload, Reply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, options: options, once: true), to: event)
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func offWebSocketEvent(_ event: String, tag: String? = nil) {
        self.clientSockets.changeListeners { $0.remove(tag: tag, from: event) }
    }

    /// Removes one listener.
    public func offWebSocketEvent(_ listener: ListenerHandle) {
        listener.remove()
    }

    private func add(_ listener: Listener<ClientEventArguments>, to event: String) -> ListenerHandle {
        self.clientSockets.changeListeners { $0.add(listener, to: event) }
        return self.handle(of: listener)
    }
}

// Events of clients, as Swift types
extension WebSocketCrossServerAdapter {
    /// Registers a plain listener of an event with a reply: the returned value is sent to a client that asked for one.
    ///
    /// A payload that does not decode is answered with the failure `INVALID_PAYLOAD`.
    @discardableResult
    @_disfavoredOverload
    public func onWebSocketEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, ClientSocket) throws -> E.Reply
    ) -> ListenerHandle {
        self.onWebSocketEvent(E.name, tag: tag) { socket, payload, reply in
            let answer = try listener(E.decoded(from: payload), socket)
            try reply?(encoding: answer)
        }
    }

    /// Registers an asynchronous listener of an event with a reply. For `options` see
    /// ``onWebSocketEvent(_:tag:options:_:)``.
    @discardableResult
    @_disfavoredOverload
    public func onWebSocketEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (E, ClientSocket) async throws -> E.Reply
    ) -> ListenerHandle {
        self.onWebSocketEvent(E.name, tag: tag, options: options) { socket, payload, reply in
            let answer = try await listener(E.decoded(from: payload), socket)
            try reply?(encoding: answer)
        }
    }

    /// Registers a plain listener of an event without a reply. A client that asks for one gets an empty one.
    @discardableResult
    public func onWebSocketEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, ClientSocket) throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.onWebSocketEvent(E.name, tag: tag) { socket, payload, reply in
            try listener(E.decoded(from: payload), socket)
            reply?(.absent)
        }
    }

    /// Registers an asynchronous listener of an event without a reply. For `options` see
    /// ``onWebSocketEvent(_:tag:options:_:)``.
    @discardableResult
    public func onWebSocketEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        options: HandlerOptions = [],
        _ listener: @escaping @Sendable (E, ClientSocket) async throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.onWebSocketEvent(E.name, tag: tag, options: options) { socket, payload, reply in
            try await listener(E.decoded(from: payload), socket)
            reply?(.absent)
        }
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func offWebSocketEvent<E: Event>(_ event: E.Type, tag: String? = nil) {
        self.offWebSocketEvent(E.name, tag: tag)
    }
}

extension Event {
    static func decoded(from payload: Payload) throws -> Self {
        do {
            return try payload.decode(Self.self)
        } catch {
            throw RequestFailure.invalidPayload("the payload of \(Self.name) is not as expected: \(error)")
        }
    }
}

extension Listener {
    fileprivate convenience init(_ body: Body, tag: String?, options: HandlerOptions, once: Bool) {
        self.init(
            body,
            tag: tag,
            once: once,
            isConcurrent: options.contains(.concurrent),
            outlivesConnection: options.contains(.outlivesConnection)
        )
    }
}
