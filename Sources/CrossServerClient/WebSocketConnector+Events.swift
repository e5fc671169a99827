public import CrossServerWire

// Events of the connector itself
extension WebSocketConnector {
    /// Registers a plain listener of an event of the connector. What happens next is told after its end: it must not block.
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

    /// Registers an asynchronous listener of an event of the connector. Nothing waits for its end.
    ///
    /// - Parameters:
    ///   - tag: lets several listeners be removed together.
    ///   - oneAtATime: whether the listener starts again only when it has ended, in the order in which things happened.
    ///     Otherwise several calls of it may be under way at once.
    @discardableResult
    public func on<Arguments: Sendable>(
        _ event: ClientEvent<Arguments>,
        tag: String? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (Arguments) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(oneAtATime: oneAtATime, tag: tag, listener), to: event)
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
        self.changeListeners { $0.system[keyPath: event.list].remove(tag: tag) }
    }

    /// Removes one listener; it does not run again.
    public func off(_ listener: ListenerHandle) {
        listener.remove()
    }

    private func add<Arguments: Sendable>(
        _ listener: Listener<Arguments>,
        to event: ClientEvent<Arguments>
    ) -> ListenerHandle {
        self.changeListeners { $0.system[keyPath: event.list].add(listener) }
        return self.handle(of: listener)
    }

    func handle<Arguments>(of listener: Listener<Arguments>) -> ListenerHandle {
        ListenerHandle { [weak self] in
            listener.deactivate()
            self?.changeListeners { $0.removeSpent() }
        }
    }
}
