public import CrossServerWire
import Synchronization

// Events of the connector itself
extension WebSocketConnector {
    /// Registers a plain listener of an event of the connector. Everything after it waits: it must not block.
    ///
    /// - Parameter tag: lets several listeners be removed together.
    @discardableResult
    public func on<Arguments: Sendable>(
        _ event: ClientEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener of an event of the connector. What happens next is handled after its end.
    @discardableResult
    public func on<Arguments: Sendable>(
        _ event: ClientEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: false), to: event)
    }

    /// As ``on(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func once<Arguments: Sendable>(
        _ event: ClientEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func once<Arguments: Sendable>(
        _ event: ClientEvent<Arguments>,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Arguments) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: true), to: event)
    }

    /// Removes the listeners of an event of the connector that have the tag, or all of them.
    public func off<Arguments: Sendable>(_ event: ClientEvent<Arguments>, tag: String? = nil) {
        self.listenerTable.withLock { $0.system[keyPath: event.list].remove(tag: tag) }
    }

    /// Removes one listener; it does not run again.
    public func off(_ listener: ListenerHandle) {
        listener.remove()
    }

    private func add<Arguments: Sendable>(
        _ listener: Listener<Arguments>,
        to event: ClientEvent<Arguments>
    ) -> ListenerHandle {
        self.listenerTable.withLock { $0.system[keyPath: event.list].add(listener) }
        return self.handle(of: listener)
    }

    private func handle<Arguments>(of listener: Listener<Arguments>) -> ListenerHandle {
        ListenerHandle { [weak self] in
            listener.deactivate()
            self?.listenerTable.withLock { $0.removeSpent() }
        }
    }
}

// Events of the server, as bytes
extension WebSocketConnector {
    /// Registers a plain listener of an event that the server sends. It gets the payload as it came.
    ///
    /// What it throws is logged. Everything after it waits: it must not block.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener. What happens next is handled after its end.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: false), to: event)
    }

    /// As ``on(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: true), to: event)
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func off(_ event: String, tag: String? = nil) {
        self.listenerTable.withLock { $0.remove(tag: tag, from: event) }
    }

    private func add(_ listener: Listener<Payload>, to event: String) -> ListenerHandle {
        self.listenerTable.withLock { $0.add(listener, to: event) }
        return self.handle(of: listener)
    }
}

// Events of the server with a type
extension WebSocketConnector {
    /// Registers a plain listener of an event type. A payload that does not decode is logged and dropped.
    @discardableResult
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle {
        self.on(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    /// Registers an asynchronous listener of an event type.
    @discardableResult
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle {
        self.on(E.name, tag: tag) { payload in try await listener(E.decoded(from: payload)) }
    }

    /// As ``on(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle {
        self.once(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    @discardableResult
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle {
        self.once(E.name, tag: tag) { payload in try await listener(E.decoded(from: payload)) }
    }

    /// Removes the listeners of an event type that have the tag, or all of them.
    public func off<E: Event>(_ event: E.Type, tag: String? = nil) {
        self.off(E.name, tag: tag)
    }
}

extension Event {
    fileprivate static func decoded(from payload: Payload) throws -> Self {
        do {
            return try payload.decode(Self.self)
        } catch {
            throw UndecodablePayload(reason: error)
        }
    }
}
