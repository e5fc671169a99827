public import CrossServerWire

// Events of the server with a type. Which form a closure is of follows from the event's Reply and from what the closure
// returns, in this order: those without a Reply, those that return it, those that return nothing all the same.
extension WebSocketConnector {
    /// Registers a plain listener of an event without a reply. A payload that does not decode is logged and dropped.
    ///
    /// When the server asks all the same, the end of the listeners is answered with none.
    @discardableResult
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.on(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    /// Registers an asynchronous listener of an event without a reply. Nothing waits for its end.
    ///
    /// - Parameters:
    ///   - tag: lets several listeners be removed together.
    ///   - oneAtATime: whether the listener starts again only when it has ended, in the order in which things happened.
    ///     Otherwise several calls of it may be under way at once.
    @discardableResult
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.on(E.name, tag: tag, oneAtATime: oneAtATime) { payload in try await listener(E.decoded(from: payload)) }
    }

    /// Registers a plain listener of an event with a reply: the returned value is sent when the server asks for one.
    ///
    /// A payload that does not decode is logged, and a request is answered with the failure `INVALID_PAYLOAD`. Of several
    /// listeners that return a value the first one's is sent.
    @discardableResult
    @_disfavoredOverload
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> E.Reply
    ) -> ListenerHandle {
        self.on(E.name, tag: tag, Self.replying(listener))
    }

    /// Registers an asynchronous listener of an event with a reply. The next request does not wait for its end.
    ///
    /// - Parameters:
    ///   - tag: lets several listeners be removed together.
    ///   - oneAtATime: whether the listener starts again only when it has ended, in the order in which things happened.
    ///     Otherwise several calls of it may be under way at once.
    @discardableResult
    @_disfavoredOverload
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (E) async throws -> E.Reply
    ) -> ListenerHandle {
        self.on(E.name, tag: tag, oneAtATime: oneAtATime, Self.replying(listener))
    }

    /// Registers a plain listener that gives no reply to an event that has one: `client.on(Say.self) { print($0.msg) }`.
    ///
    /// - Parameter replying: nothing. It makes the compiler prefer the form that replies where both would do.
    @discardableResult
    @_disfavoredOverload
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        replying: Never? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle {
        self.on(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    /// Registers an asynchronous listener that gives no reply to an event that has one.
    @discardableResult
    @_disfavoredOverload
    public func on<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        replying: Never? = nil,
        oneAtATime: Bool = false,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle {
        self.on(E.name, tag: tag, oneAtATime: oneAtATime) { payload in try await listener(E.decoded(from: payload)) }
    }

    /// As ``on(_:tag:_:)``, for one time only: the listener is removed before it runs.
    @discardableResult
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.once(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    @discardableResult
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle where E.Reply == NoReply {
        self.once(E.name, tag: tag) { payload in try await listener(E.decoded(from: payload)) }
    }

    @discardableResult
    @_disfavoredOverload
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) throws -> E.Reply
    ) -> ListenerHandle {
        self.once(E.name, tag: tag, Self.replying(listener))
    }

    @discardableResult
    @_disfavoredOverload
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        _ listener: @escaping @Sendable (E) async throws -> E.Reply
    ) -> ListenerHandle {
        self.once(E.name, tag: tag, Self.replying(listener))
    }

    @discardableResult
    @_disfavoredOverload
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        replying: Never? = nil,
        _ listener: @escaping @Sendable (E) throws -> Void
    ) -> ListenerHandle {
        self.once(E.name, tag: tag) { payload in try listener(E.decoded(from: payload)) }
    }

    @discardableResult
    @_disfavoredOverload
    public func once<E: Event>(
        _ event: E.Type,
        tag: String? = nil,
        replying: Never? = nil,
        _ listener: @escaping @Sendable (E) async throws -> Void
    ) -> ListenerHandle {
        self.once(E.name, tag: tag) { payload in try await listener(E.decoded(from: payload)) }
    }

    /// Removes the listeners of an event type that have the tag, or all of them.
    public func off<E: Event>(_ event: E.Type, tag: String? = nil) {
        self.off(E.name, tag: tag)
    }

    private static func replying<E: Event>(
        _ listener: @escaping @Sendable (E) throws -> E.Reply
    ) -> @Sendable (Payload, Reply?) throws -> Void {
        { payload, reply in
            let answer = try listener(E.decoded(from: payload))
            try reply?(encoding: answer)
        }
    }

    private static func replying<E: Event>(
        _ listener: @escaping @Sendable (E) async throws -> E.Reply
    ) -> @Sendable (Payload, Reply?) async throws -> Void {
        { payload, reply in
            let answer = try await listener(E.decoded(from: payload))
            try reply?(encoding: answer)
        }
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
