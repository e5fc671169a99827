public import CrossServerWire

// Events of the server, as bytes
extension WebSocketConnector {
    /// Registers a plain listener of an event that the server sends. It gets the payload as it came.
    ///
    /// What it throws is logged. What happens next is told after its end: it must not block. When the server asks for a reply, the end
    /// of the listeners is answered with none.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain { payload, _ in try listener(payload) }, tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener. Nothing waits for its end.
    ///
    /// - Parameters:
    ///   - tag: lets several listeners be removed together.
    ///   - oneAtATime: whether the listener starts again only when it has ended, in the order in which things happened.
    ///     Otherwise several calls of it may be under way at once.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (Payload) async throws -> Void
    ) -> ListenerHandle {
        self.add(
            Listener(oneAtATime: oneAtATime, tag: tag) { payload, _ in try await listener(payload) },
            to: event
        )
    }

    /// Registers a plain listener of an event that may be a request of the server. It gets the payload as it came, and
    /// for a request its ``Reply``, which may be used later.
    ///
    /// A request is answered with a failure when a listener throws: with ``CrossServerWire/RequestFailure`` as it is,
    /// otherwise with `INTERNAL_ERROR`. A request without any listener is answered with `UNKNOWN_EVENT`.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload, Reply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(Self.keepingOpen(listener)), tag: tag, once: false), to: event)
    }

    /// Registers an asynchronous listener of an event that may be a request of the server. The next request does not wait
    /// for its end; the listeners of one request run one after the other.
    ///
    /// - Parameters:
    ///   - tag: lets several listeners be removed together.
    ///   - oneAtATime: whether the listener starts again only when it has ended, in the order in which things happened.
    ///     Otherwise several calls of it may be under way at once.
    @discardableResult
    public func on(
        _ event: String,
        tag: String? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (Payload, Reply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(oneAtATime: oneAtATime, tag: tag, Self.keepingOpen(listener)), to: event)
    }

    /// As ``on(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain { payload, _ in try listener(payload) }, tag: tag, once: true), to: event)
    }

    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous { payload, _ in try await listener(payload) }, tag: tag, once: true), to: event)
    }

    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload, Reply?) throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.plain(Self.keepingOpen(listener)), tag: tag, once: true), to: event)
    }

    @discardableResult
    public func once(
        _ event: String,
        tag: String? = nil,
        _ listener: @escaping @Sendable (Payload, Reply?) async throws -> Void
    ) -> ListenerHandle {
        self.add(Listener(.asynchronous(Self.keepingOpen(listener)), tag: tag, once: true), to: event)
    }

    /// Removes the listeners of an event that have the tag, or all of them.
    public func off(_ event: String, tag: String? = nil) {
        self.changeListeners { $0.remove(tag: tag, from: event) }
    }

    private func add(_ listener: Listener<ServerEventArguments>, to event: String) -> ListenerHandle {
        self.changeListeners { $0.add(listener, to: event) }
        return self.handle(of: listener)
    }

    private static func keepingOpen(
        _ listener: @escaping @Sendable (Payload, Reply?) throws -> Void
    ) -> @Sendable (ServerEventArguments) throws -> Void {
        { arguments in
            arguments.1?.keepOpen()
            try listener(arguments.0, arguments.1)
        }
    }

    private static func keepingOpen(
        _ listener: @escaping @Sendable (Payload, Reply?) async throws -> Void
    ) -> @Sendable (ServerEventArguments) async throws -> Void {
        { arguments in
            arguments.1?.keepOpen()
            try await listener(arguments.0, arguments.1)
        }
    }
}
