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
    let presence: NodePresence
    private let hasClients = Atomic(false)

    struct PendingRequests: Sendable {
        var table = RequestTable<ReplySink>()
        var isTicking = false
        var isEnded = false
    }

    init(
        name: String,
        configuration: WebSocketCrossServerAdapter.Configuration,
        channels: ClusterChannels,
        bus: (any Bus)?,
        clients: LocalClients,
        roomChannels: RoomChannels,
        eventLoop: any EventLoop,
        logger: Logger
    ) {
        self.name = name
        self.configuration = configuration
        let cluster = configuration.cluster
        self.incarnation = String(UInt64.random(in: .min ... .max), radix: 36)
        self.channels = channels
        self.clients = clients
        self.roomChannels = roomChannels
        self.inbox = self.channels.inbox(of: name, incarnation: self.incarnation)
        self.bus = bus
        self.eventLoop = eventLoop
        self.logger = logger
        self.tasks = HandlerTasks(maximum: cluster.maximumRunningHandlers)
        self.presence = NodePresence(name: name, incarnation: self.incarnation)
        bus?.subscribe(to: self.systemChannels + cluster.customChannels)
    }

    /// The channels that are subscribed for as long as the server runs.
    var systemChannels: [String] {
        let channels = [self.channels.bridge, self.channels.cluster, self.inbox]
        return self.hasClients.load(ordering: .relaxed) ? channels + self.clientChannels : channels
    }

    private var clientChannels: [String] { [self.channels.everyone, self.channels.clients] }

    /// From now on there may be clients here, whom messages of other servers are for.
    func serveClients() {
        guard !self.hasClients.exchange(true, ordering: .relaxed) else { return }
        self.bus?.subscribe(to: self.clientChannels)
    }

    /// Whether there may be servers of the original, which do not hear what is only ours.
    var mayHaveOriginalServers: Bool { true }

    /// Keeps the bus connected until the task is cancelled.
    ///
    /// - Throws: ``CrossServerError`` with `nameTaken`, or what the bus throws.
    func run() async throws {
        guard let bus = self.bus else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await bus.run(self) }
            group.addTask { try await self.presence.refused() }
            // Whichever ends first ends the other: the bus when the task is cancelled, or the refusal with an error.
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Waits for the handlers that run, then ends the requests that still wait.
    func stop(within deadline: Duration) async {
        let timer = Task.detached {
            // Cancelled when all handlers have ended: then nobody is left to cancel.
            guard (try? await Task.sleep(for: deadline)) != nil else { return }
            self.tasks.cancel()
        }
        await self.tasks.ended()
        timer.cancel()
        await timer.value
        self.requests.withLock { requests in
            requests.isEnded = true
            for action in requests.table.endAll(.stopping) { Self.perform(action) }
        }
        self.listeners.withLock { $0 = ClusterListeners() }
        do {
            try await self.bus?.drained(within: .seconds(1))
        } catch {
            self.logger.notice("not all messages were sent", metadata: ["reason": "\(error)"])
        }
    }
}

extension ClusterNode: BusReceiver {
    func linkChanged(_ status: BusLinkStatus) {
        // Over each link anew: a server with the same name may be heard over this one only.
        if status.canReceive, status.canPublish { self.announce(over: status.link) }
    }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        guard self.channels.isReserved(channel) else { return self.receivedCustom(message, on: channel) }
        do throws(BusMessageError) {
            if channel == self.channels.cluster {
                guard case .event(let event) = try BusMessage(decoding: message) else {
                    return self.refused("no event", on: channel)
                }
                return self.receivedPresence(event, over: link)
            }
            // This server has handled its own events when it sent them.
            switch try BusMessage(decoding: message, for: self.name) {
            case nil: break
            case .event(let event): self.received(event, over: link)
            case .reply(let reply): self.received(reply)
            case .clients(let message): self.received(message, on: channel)
            }
        } catch {
            self.refused("\(error)", on: channel)
        }
    }

    func refused(_ problem: String, on channel: String) {
        ClusterCounters.increment(self.counters.invalidMessages)
        self.throttles.invalidMessage.log(
            self.logger,
            level: .notice,
            "message of the bus dropped",
            metadata: ["channel": "\(channel)", "problem": "\(problem)"]
        )
    }

    private func received(_ event: CrossServerEvent, over link: BusLink) {
        ClusterCounters.increment(self.counters.eventsReceived)
        let reply = event.callbackID.map { id in
            ServerReply(node: self, requester: .remote(server: event.sender, callbackID: id, link))
        }
        self.handle(event, reply)
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
    let nameTaken = LogThrottle()
}
