public import CrossServerWire
import Synchronization

// Events of other servers, as bytes
extension WebSocketCrossServerAdapter {
    /// Registers a plain listener of an event that servers send. It runs on an event loop and must not block.
    ///
    /// The listener gets the event with its sender and payload, and for a request its ``ServerReply``. What it throws is
    /// logged, and a request is answered with a failure: with ``RequestFailure`` as it is, otherwise with
    /// `INTERNAL_ERROR`.
    ///
    /// - Parameter tag: lets several listeners be removed together.
    @discardableResult
    public func onCrossServerEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (CrossServerEvent, ServerReply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener. Listeners start in the order of one sender's events and then run beside each
    /// other.
    @discardableResult
    public func onCrossServerEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (CrossServerEvent, ServerReply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: false), to: event)
    }

    /// As ``onCrossServerEvent(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func onceCrossServerEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (CrossServerEvent, ServerReply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(listener), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func onceCrossServerEvent(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (CrossServerEvent, ServerReply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(listener), tag: tag, once: true), to: event)
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func offCrossServerEvent(_ event: String, tag: String? = nil) {
        self.cluster.events.changeListeners { listeners in
            listeners.events[event]?.remove(tag: tag)
            if listeners.events[event]?.isEmpty == true { listeners.events[event] = nil }
        }
    }

    /// Removes one listener.
    public func offCrossServerEvent(_ listener: ListenerHandle) {
        listener.remove()
    }

    private func add(_ listener: Listener<CrossServerEventArguments>, to event: String) -> ListenerHandle {
        self.cluster.events.changeListeners { $0.events[event, default: ListenerList()].add(listener) }
        return ListenerHandle { [weak events = self.cluster.events] in
            listener.deactivate()
            events?.changeListeners { $0.removeSpent() }
        }
    }
}

// Events of other servers, as Swift types
extension WebSocketCrossServerAdapter {
    /// Registers a plain listener of an event with a reply: the returned value is the reply to a request.
    ///
    /// It gets the event and the name of the server that sent it. A payload that does not decode is answered with the
    /// failure `INVALID_PAYLOAD`.
    @discardableResult
    @_disfavoredOverload
    public func onCrossServerEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, String) throws -> E.Reply
    ) -> ListenerHandle {
        self.onCrossServerEvent(E.name, tag: tag) { event, reply in
            let answer = try listener(E.decoded(from: event.payload), event.sender)
            try reply?(encoding: answer)
        }
    }

    /// Registers an asynchronous listener of an event with a reply.
    @discardableResult
    @_disfavoredOverload
    public func onCrossServerEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, String) async throws -> E.Reply
    ) -> ListenerHandle {
        self.onCrossServerEvent(E.name, tag: tag) { event, reply in
            let answer = try await listener(E.decoded(from: event.payload), event.sender)
            try reply?(encoding: answer)
        }
    }

    /// Registers a plain listener of an event without a reply. A server that asks for one gets an empty one.
    @discardableResult
    public func onCrossServerEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, String) throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.onCrossServerEvent(E.name, tag: tag) { event, reply in
            try listener(E.decoded(from: event.payload), event.sender)
            reply?(.absent)
        }
    }

    /// Registers an asynchronous listener of an event without a reply.
    @discardableResult
    public func onCrossServerEvent<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E, String) async throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.onCrossServerEvent(E.name, tag: tag) { event, reply in
            try await listener(E.decoded(from: event.payload), event.sender)
            reply?(.absent)
        }
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func offCrossServerEvent<E: Event>(_ event: E.Type, tag: String? = nil) {
        self.offCrossServerEvent(E.name, tag: tag)
    }
}
