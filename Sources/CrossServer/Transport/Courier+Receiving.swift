import CrossServerBus
import NIOCore

// Receiving, on the event loop
extension Courier {
    func setDelegate(_ delegate: any Delegate) {
        self.receiving.value.delegate = delegate
    }

    /// Subscribes channels whose messages are numbered. On any thread.
    func subscribe(to channels: [String]) {
        self.onEventLoop {
            for channel in channels { self.receiving.value.receiver.subscribe(channel, now: .now()) }
            self.receiving.value.pending.formUnion(channels)
            self.tickSoon()
        }
        self.bus.subscribe(to: channels)
    }

    /// Waits until the channels are subscribed on every link that is usable, and what is sent from now on is owed.
    func subscribed(to channels: [String], within timeout: Duration) async throws {
        try await self.bus.subscribed(to: channels, within: timeout)
        try await self.bus.eventLoop.submit {
            for channel in channels { self.receiving.value.receiver.inForce(channel, now: .now()) }
        }.get()
    }

    func unsubscribe(from channels: [String]) {
        self.bus.unsubscribe(from: channels)
        self.onEventLoop {
            for channel in channels { self.receiving.value.receiver.unsubscribe(channel) }
            self.receiving.value.pending.subtract(channels)
        }
    }

    /// In the order of the calls of one thread.
    private func onEventLoop(_ body: @escaping @Sendable () -> Void) {
        if self.bus.eventLoop.inEventLoop { body() } else { self.bus.eventLoop.execute(body) }
    }

    func checkSubscriptions() {
        for channel in self.receiving.value.pending where self.bus.isSubscribed(to: channel) {
            self.receiving.value.pending.remove(channel)
            self.receiving.value.receiver.inForce(channel, now: .now())
        }
    }

    /// - Parameter delegate: that of this courier. To load it from where it is kept would cost a reference for every message.
    func received(
        _ message: ByteBuffer,
        on channel: String,
        over link: BusLink,
        at now: NIODeadline,
        for delegate: some Delegate
    ) {
        let receiving = self.receiving.value
        if DeliveryFrame.isFrame(message) {
            guard let frame = DeliveryFrame(message) else {
                delegate.refused("a frame that cannot be read", on: channel)
                return
            }
            receiving.receiver.received(frame, over: link, now: now)
            self.change { sender, now in sender.received(frame, over: link, now: now) }
        } else if receiving.receiver.received(message, on: channel, over: link, now: now) {
            delegate.deliver(message, on: channel, over: link)
        }
        if !receiving.receiver.actions.isEmpty { self.takeActions(receiving) }
        if receiving.receiver.isBusy { self.scheduleTick() }
    }

    func takeActions(_ receiving: Receiving) {
        while true {
            let actions = receiving.receiver.takeActions()
            if actions.isEmpty { return }
            for action in actions {
                switch action {
                case .deliver(let message, let channel, let link):
                    receiving.delegate?.deliver(message, on: channel, over: link)
                case .gap(let gap): receiving.delegate?.missed(gap)
                case .tell(let message, let channel, let link): self.tell(message, to: channel, over: link)
                case .publish, .refuse: break
                }
            }
        }
    }

    /// What the membership has learned.
    func perform(_ action: MembershipAction, now: NIODeadline) {
        let receiving = self.receiving.value
        switch action {
        case .joined(let member):
            guard let incarnation = UInt64(member.incarnation, radix: 36) else { return }
            receiving.receiver.joined(incarnation, name: member.name, uptime: member.uptime, now: now)
        case .left(let member, let reason):
            guard let incarnation = UInt64(member.incarnation, radix: 36) else { return }
            receiving.receiver.left(incarnation, reason, now: now)
        case .linkProved(_, let since):
            self.checkSubscriptions()
            if let since { receiving.receiver.mayHaveMissed(since: since, now: now) }
        case .linkLost(_, let since):
            receiving.receiver.mayHaveMissed(since: since, now: now)
        case .heartbeatMissed(let incarnation, let since):
            guard let incarnation = UInt64(incarnation, radix: 36) else { return }
            receiving.receiver.mayHaveMissed(since: since, of: incarnation, now: now)
        case .send, .changed, .suspected, .cleared, .nameTaken: break
        }
    }

    func heard(_ announcement: Announcement, now: NIODeadline) {
        guard announcement.kind != .left, let incarnation = UInt64(announcement.incarnation, radix: 36) else { return }
        self.receiving.value.receiver.heard(incarnation, uptime: announcement.uptime, now: now)
    }

    func update(_ reach: Reach) {
        self.receiving.value.receiver.update(reach)
        self.change { sender, now in sender.update(reach, now: now) }
        self.takeActions(self.receiving.value)
    }

    func ledger(of incarnation: UInt64) -> ReceiverLedger? { self.receiving.value.receiver.ledger(of: incarnation) }

    /// Other servers from which something may have come, each in its latest life that is known.
    var senders: [(incarnation: UInt64, name: String, isLive: Bool)] { self.receiving.value.receiver.senders }

    /// What was dropped because there was too much of it.
    var receiverOverflows: ReceiverOverflows { self.receiving.value.receiver.overflows }

    /// What came too early, in bytes.
    var holdBytes: Int { self.receiving.value.receiver.holdBytes }
}
