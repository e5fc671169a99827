import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The part of a server that talks to other servers: sends events, handles theirs, and keeps the requests that wait.
///
/// Without a bus it is a cluster of one.
final class ClusterNode: Sendable {
    let name: String
    /// One life of this server: other servers tell it by this from one that had the name before.
    let incarnation: String
    let configuration: WebSocketCrossServerAdapter.Configuration
    let channels: ClusterChannels
    let inbox: String
    let bus: (any Bus)?
    /// Nil without a bus, and when messages go out as they are.
    let courier: Courier?
    let clients: LocalClients
    let roomChannels: RoomChannels
    /// Where this server handles its own events.
    let eventLoop: any EventLoop
    let logger: Logger
    let tasks: HandlerTasks
    let counters = ClusterCounters()
    let throttles = ClusterThrottles()
    let requests = Mutex(PendingRequests())
    let listeners = Mutex(ClusterListeners())
    let localEvents: Mutex<LocalEvents>
    let membership: NIOLoopBoundBox<Membership>
    let roster = Mutex(Roster())
    /// How many servers live and cannot be reached.
    let unreachableCount = Atomic(0)
    /// What concerns servers of the original, and has no number, goes over this link; -1 for any.
    let linkOfOriginals = Atomic(-1)
    /// When to look for a server of the original with this one's name again.
    let namesakeCheck: NIOLoopBoundBox<NIODeadline>
    let subscriptionWatch: NIOLoopBoundBox<SubscriptionWatch>
    let busReadiness = Mutex(BusReadiness())
    let uniqueIds = Mutex(UniqueIds())
    let presence: NIOLoopBoundBox<PresenceWatches>
    let routing: Mutex<ClientRouting>
    let hearing = Mutex(Hearing())
    /// When Redis was asked last who hears the inbox of a server.
    let countedInboxes: NIOLoopBoundBox<[Holder: NIODeadline]>
    let serverChanges = Reports<ServerChange>(maximumWaiting: 1_000)
    let gaps = Reports<MissedMessages>(maximumWaiting: 1_000)
    let unsentMessages = Reports<UnsentMessage>(maximumWaiting: 1_000)
    /// What ends the talk with the other servers.
    let failures = AsyncStream<any Error>.makeStream(bufferingPolicy: .bufferingOldest(1))
    private let wants = Mutex(Wants())

    /// What is wanted of the bus.
    private struct Wants: Sendable {
        /// Whether anything is wanted: not before this server runs.
        var hasBegun = false
        var hasClients = false
    }
    /// What was counted of each when it was last looked at.
    let overflows = Mutex([Overflow: Int]())

    struct PendingRequests: Sendable {
        var table = RequestTable<ReplySink>()
        var isTicking = false
        var isEnded = false
        var watch = OverdueReplies()
    }

    init(
        name: String,
        incarnation: UInt64,
        configuration: WebSocketCrossServerAdapter.Configuration,
        channels: ClusterChannels,
        bus: (any Bus)?,
        courier: Courier?,
        clients: LocalClients,
        roomChannels: RoomChannels,
        eventLoop: any EventLoop,
        start: NIODeadline,
        logger: Logger
    ) {
        self.name = name
        self.configuration = configuration
        let cluster = configuration.cluster
        self.incarnation = String(incarnation, radix: 36)
        self.channels = channels
        self.clients = clients
        self.roomChannels = roomChannels
        self.inbox = self.channels.inbox(of: name, incarnation: self.incarnation)
        self.bus = bus
        self.courier = courier
        self.routing = Mutex(ClientRouting(courier))
        self.eventLoop = eventLoop
        self.logger = logger
        self.tasks = HandlerTasks(maximum: cluster.maximumRunningHandlers)
        self.localEvents = Mutex(LocalEvents(maximum: configuration.limits.maximumQueuedDeliveries))
        var membership = Membership.Configuration()
        membership.role = cluster.isObserver ? .observer : .server
        membership.takesClients = false
        self.membership = .makeBoxSendingValue(
            Membership(name: name, incarnation: self.incarnation, configuration: membership, now: start),
            eventLoop: eventLoop
        )
        self.countedInboxes = .makeBoxSendingValue([:], eventLoop: eventLoop)
        self.presence = .makeBoxSendingValue(PresenceWatches(), eventLoop: eventLoop)
        self.namesakeCheck = .makeBoxSendingValue(start, eventLoop: eventLoop)
        self.subscriptionWatch = .makeBoxSendingValue(SubscriptionWatch(), eventLoop: eventLoop)
        clients.onWatchedRoomsChange { [weak self] due in self?.tellWatchersSoon(due) }
    }

    /// The channels that are subscribed for as long as the server runs.
    var systemChannels: [String] {
        let channels = [self.channels.bridge, self.channels.cluster, self.inbox]
        return self.hasClients ? channels + self.clientChannels : channels
    }

    private var clientChannels: [String] { [self.channels.everyone, self.channels.clients] }

    /// From now on there may be clients here, whom messages of other servers are for.
    func serveClients() {
        let (isFirst, hasBegun) = self.wants.withLock { wants in
            defer { wants.hasClients = true }
            return (!wants.hasClients, wants.hasBegun)
        }
        guard isFirst else { return }
        if hasBegun { self.subscribe(to: self.clientChannels) }
        self.eventLoop.execute { self.changeMembership { membership, now in membership.takeClients(now: now) } }
    }

    var hasClients: Bool { self.wants.withLock { $0.hasClients } }
    var hasBegun: Bool { self.wants.withLock { $0.hasBegun } }

    /// Begins to use the bus.
    func begin() {
        self.subscribe(to: self.systemChannels)
        self.bus?.subscribe(to: self.configuration.cluster.customChannels)
        self.roomChannels.begin()
        // Who sees that it has begun may wait for the channels: they are wanted by then.
        self.wants.withLock { $0.hasBegun = true }
        // Clients may have been announced meanwhile.
        if self.hasClients { self.subscribe(to: self.clientChannels) }
    }

    func subscribe(to channels: [String]) {
        if let courier = self.courier { courier.subscribe(to: channels) } else { self.bus?.subscribe(to: channels) }
    }

    func unsubscribe(from channels: [String]) {
        if let courier = self.courier {
            courier.unsubscribe(from: channels)
        } else {
            self.bus?.unsubscribe(from: channels)
        }
    }

    /// Waits until the channels are subscribed on every link that is usable.
    ///
    /// - Throws: as ``Bus/subscribed(to:within:)``.
    func subscribed(to channels: [String], within timeout: Duration) async throws {
        if let courier = self.courier {
            try await courier.subscribed(to: channels, within: timeout)
        } else {
            try await self.bus?.subscribed(to: channels, within: timeout)
        }
    }

    /// Whether there may be servers of the original, which do not hear what is only ours.
    var mayHaveOriginalServers: Bool { self.roster.withLock { $0.mayHaveOriginalServers } }

    /// Keeps the bus connected until the task is cancelled. An end before that is told by ``failures``.
    func run() async {
        guard let bus = self.bus else { return }
        self.eventLoop.execute { self.courier?.setDelegate(self) }
        let membership = self.startMembership()
        defer { for task in membership { task.cancel() } }
        do {
            try await bus.run(self)
        } catch {
            self.failures.continuation.yield(error)
        }
        self.failures.continuation.finish()
    }

    /// Waits for the handlers that run, then ends the requests that still wait.
    func stop(within deadline: Duration) async {
        await self.tasks.ended(within: deadline)
        self.endRequests()
        do {
            await self.leave(isHurried: deadline == .zero)
            try await self.eventLoop.submit {
                self.endPresence()
                self.changeMembership { membership, now in membership.leave(now: now) }
            }.get()
            try await self.bus?.drained(within: .seconds(1))
        } catch {
            self.logger.notice("not all messages were sent", metadata: ["reason": "\(LogText(error))"])
        }
    }

    private func endRequests() {
        self.requests.withLock { $0.isEnded = true }
        self.performAll { $0.endAll(.stopping) }
    }

    /// Lets go of all that listens. Nothing happens after that.
    func end() {
        self.endRequests()
        self.changeListeners { $0 = ClusterListeners() }
        self.serverChanges.finish()
        self.gaps.finish()
        self.unsentMessages.finish()
        self.failures.continuation.finish()
    }
}

extension ClusterNode: NumberingBusReceiver {
    var serverName: String { self.name }

    func linkChanged(_ status: BusLinkStatus) {
        self.changeMembership { membership, now in membership.linkChanged(status, now: now) }
        if status.canReceive { self.askForPresenceSoon() }
    }

    func publishFailed(_ number: UInt64, over link: BusLink) {
        self.courier?.publishFailed(number, over: link)
    }

    func linkStalled(_ link: BusLink) {
        self.courier?.stalled(link)
    }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        self.received(message, on: channel, over: link, at: .now())
    }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink, at time: NIODeadline) {
        guard self.channels.isReserved(channel) else { return self.receivedCustom(message, on: channel) }
        if let courier = self.courier {
            courier.received(message, on: channel, over: link, at: time, for: self)
        } else {
            self.deliver(message, on: channel, over: link)
        }
    }

    /// A message that is the next one of its sender, or has no number.
    func deliver(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        do throws(BusMessageError) {
            let way = Way(link: link, encoding: BusEncoding(of: message))
            if channel == self.channels.cluster { return try self.receivedSystem(message, way) }
            // This server has handled its own events when it sent them. But to its inbox it sends what it wants to hear, and
            // another server with its name asks there which of the two may keep it.
            let isInbox = channel == self.inbox
            let decoded =
                isInbox ? try BusMessage(decoding: message) : try BusMessage(decoding: message, for: self.name)
            guard let decoded else { return self.lookForNamesake(message) }
            // Consumed, since copies of the cases would cost more than what is done with them.
            switch consume decoded {
            case .event(let event): self.received(event, on: channel, isInbox: isInbox, way)
            case .reply(let reply): self.received(reply)
            case .clients(let clients):
                guard clients.sender != self.name else { return self.lookForNamesake(message) }
                self.received(clients, on: channel)
            }
        } catch {
            self.refused("\(error)", on: channel)
        }
    }

    /// How an event has come: its answer goes the same way.
    private struct Way {
        var link: BusLink
        var encoding: BusEncoding
    }

    private func receivedSystem(_ message: ByteBuffer, _ way: Way) throws(BusMessageError) {
        // Also this server's own, and those of a server with the same name.
        guard case .event(let event) = try BusMessage(decoding: message) else {
            return self.refused("no event", on: self.channels.cluster)
        }
        self.receivedSystem(event, way)
    }

    /// What one of our servers says to another, apart from the application's events.
    private func receivedSystem(_ event: CrossServerEvent, _ way: Way) {
        guard let announcement = Announcement(event) else {
            // This server has answered its own questions when it asked them.
            guard event.sender != self.name else { return }
            return self.answer(event, self.reply(to: event, way))
        }
        self.courier?.heard(announcement, now: .now())
        self.changeMembership { membership, now in membership.received(announcement, over: way.link, now: now) }
    }

    func refused(_ problem: String, on channel: String) {
        ClusterCounters.increment(self.counters.invalidMessages)
        self.throttles.invalidMessage.log(
            self.logger,
            level: .notice,
            "message of the bus dropped",
            metadata: ["channel": "\(LogText(channel))", "problem": "\(LogText(problem))"]
        )
    }

    private func received(_ event: CrossServerEvent, on channel: String, isInbox: Bool, _ way: Way) {
        if isInbox, event.targets.isEmpty { return self.receivedSystem(event, way) }
        if !isInbox, self.channels.isPresence(channel) { return self.receivedPresence(event, on: channel) }
        guard event.sender != self.name, event.targets.isEmpty || event.targets.contains(self.name) else { return }
        ClusterCounters.increment(self.counters.eventsReceived)
        self.handle(event, self.reply(to: event, way))
    }

    private func reply(to event: CrossServerEvent, _ way: Way) -> ServerReply? {
        event.callbackID.map { id in
            let remote = ServerReply.Remote(
                server: event.sender,
                callbackID: id,
                link: way.link,
                encoding: way.encoding
            )
            return ServerReply(node: self, requester: .remote(remote))
        }
    }

    private func received(_ reply: CrossServerReply) {
        guard let id = RequestID(reply.callbackID), id.incarnation == self.incarnation else { return }
        self.answered(id.number, by: reply.sender, reply.payload, error: reply.error)
    }
}

/// What a server has counted of its talk with others. Any thread counts.
final class ClusterCounters: Sendable {
    let eventsReceived = Atomic<Int>(0)
    let eventsSent = Atomic<Int>(0)
    let invalidMessages = Atomic<Int>(0)
    let repliesIgnored = Atomic<Int>(0)
    let handlersRefused = Atomic<Int>(0)
    let handlerFailures = Atomic<Int>(0)
    let messagesNotSent = Atomic<Int>(0)
    let messagesMissed = Atomic<Int>(0)
    /// Each counts once for each server that it could not reach.
    let messagesUnreachable = Atomic<Int>(0)
    let clientMessagesReceived = Atomic<Int>(0)
    let clientMessagesDropped = Atomic<Int>(0)

    static func increment(_ counter: borrowing Atomic<Int>) {
        counter.wrappingAdd(1, ordering: .relaxed)
    }
}

/// The kinds of lines that other servers can cause.
struct ClusterThrottles: Sendable {
    let invalidMessage = LogThrottle()
    let handlerFailure = LogThrottle()
    let overload = LogThrottle()
    let notSent = LogThrottle()
    let missed = LogThrottle()
    let originals = LogThrottle()
    let overflow = LogThrottle()
}
