public import CrossServerBus
public import CrossServerWire
import Synchronization

// Channels of the application's own
extension WebSocketCrossServerAdapter {
    /// Publishes a message on a channel. It has no envelope: the payload is all of it, MessagePack or JSON as
    /// ``Configuration/Cluster/encoding`` says. A publisher that is subscribed hears itself.
    ///
    /// - Throws: ``CrossServerError`` with `invalidName` for an empty name or one that begins with a prefix of the
    ///   framework, `busUnavailable`, `overloaded` or `messageTooLarge`; ``MessagePackError`` when MessagePack cannot hold
    ///   the payload. Nothing was sent then.
    public func publishMessage(_ payload: Payload, toChannel channel: String) throws {
        try self.validate(channel)
        guard let bus = self.transport.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
        let message =
            switch self.configuration.cluster.encoding {
            case .json: payload.buffer
            case .messagePack: try payload.messagePack()
            }
        let link = self.transport.preferredLink
        try self.transport.publish(message, on: bus, to: channel, over: link, completion: nil)
    }

    /// Wants the messages of channels, beside ``Configuration/Cluster/customChannels``.
    ///
    /// - Throws: ``CrossServerError`` with `invalidName` or `busUnavailable`.
    public func manualSubscribe(_ channels: String...) throws {
        for channel in channels { try self.validate(channel) }
        guard let bus = self.transport.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
        bus.subscribe(to: channels)
    }

    /// Wants the messages of channels no more.
    ///
    /// - Throws: ``CrossServerError`` with `invalidName` or `busUnavailable`.
    public func manualUnsubscribe(_ channels: String...) throws {
        for channel in channels { try self.validate(channel) }
        guard let bus = self.transport.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
        bus.unsubscribe(from: channels)
    }

    /// Sets the plain handler of a channel's messages, in place of the one before. It runs on an event loop and must not
    /// block. It gets the payload and the channel's name.
    @discardableResult
    public func setCustomChannelHandler(
        _ channel: String,
        _ handler: @escaping @Sendable (Payload, String) throws -> Void
    ) -> ListenerHandle {
        self.set(Listener(.plain(handler), tag: nil, once: false), for: channel)
    }

    /// Sets the asynchronous handler of a channel's messages. Handlers start in the order of the messages and then run
    /// beside each other.
    @discardableResult
    public func setCustomChannelHandler(
        _ channel: String,
        _ handler: @escaping @Sendable (Payload, String) async throws -> Void
    ) -> ListenerHandle {
        self.set(Listener(.asynchronous(handler), tag: nil, once: false), for: channel)
    }

    public func removeCustomChannelHandler(_ channel: String) {
        var former: Listener<ChannelArguments>?
        self.cluster.events.changeListeners { former = $0.channels.removeValue(forKey: channel) }
        former?.deactivate()
    }

    private func set(_ listener: Listener<ChannelArguments>, for channel: String) -> ListenerHandle {
        var former: Listener<ChannelArguments>?
        self.cluster.events.changeListeners { former = $0.channels.updateValue(listener, forKey: channel) }
        former?.deactivate()
        return ListenerHandle { [weak events = self.cluster.events] in
            listener.deactivate()
            events?.changeListeners { listeners in
                if listeners.channels[channel] === listener { listeners.channels[channel] = nil }
            }
        }
    }

    private func validate(_ channel: String) throws(CrossServerError) {
        guard !channel.isEmpty, !self.transport.channels.isReserved(channel) else {
            throw CrossServerError(
                .invalidName,
                """
                a channel's name must not be empty or begin with a prefix of the framework: "\(channel)"; channels of \
                rooms are subscribed by themselves, and with cluster.presetRoomNamespaces for ever
                """
            )
        }
    }
}

extension WebSocketCrossServerAdapter {
    /// The ways to other servers as they are now, for example one for each Redis node; none without a bus.
    public var busLinks: [BusLinkStatus] { self.transport.bus?.links ?? [] }

    /// Waits until other servers can be reached: this server runs, its channels are subscribed on every link that is
    /// usable, there is one, and it can be published on.
    ///
    /// - Throws: ``BusError`` when there is none in time; ``CrossServerError`` with `busUnavailable` without a bus;
    ///   `CancellationError`.
    public func waitForBus(within timeout: Duration = .seconds(10)) async throws {
        guard let bus = self.transport.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while !self.cluster.hasBegun {
            guard clock.now < deadline else { throw BusError(.notConnected, "the server does not run") }
            try await Task.sleep(for: .milliseconds(5))
        }
        try await bus.subscribed(to: self.cluster.systemChannels, within: deadline - clock.now)
        // A link may publish over a connection of its own, which is made beside the other.
        while !bus.links.contains(where: { $0.canPublish && $0.canReceive }) {
            guard clock.now < deadline else {
                let links = bus.links.map(\.description).joined(separator: "; ")
                throw BusError(.notConnected, "no link can be published on: \(links)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
