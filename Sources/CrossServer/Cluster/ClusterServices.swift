import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The part of a server that talks to other servers: puts the parts of that talk together, and begins and ends them.
///
/// Without a bus it is a cluster of one.
final class ClusterServices: Sendable {
    let transport: Transport
    let servers: Servers
    let events: ServerEvents
    let requests: ServerRequests
    let remoteClients: RemoteClients
    let uniqueIds: UniqueIdClaims
    let presence: Presence
    let clients: LocalClients
    private let wants = Mutex(Wants())

    /// What is wanted of the bus.
    private struct Wants: Sendable {
        /// Whether anything is wanted: not before this server runs.
        var hasBegun = false
        var hasClients = false
    }

    init(_ transport: Transport, _ clients: LocalClients, start: NIODeadline) {
        self.transport = transport
        self.clients = clients
        self.servers = Servers(transport, start: start)
        self.events = ServerEvents(transport)
        self.requests = ServerRequests(transport, self.servers, self.events)
        self.remoteClients = RemoteClients(transport, self.servers, clients)
        self.uniqueIds = UniqueIdClaims(transport, self.requests, clients, self.remoteClients)
        self.presence = Presence(transport, self.servers, self.requests, clients)
        self.events.onQuestion { [weak self] question, reply in self?.answer(question, reply) }
    }

    // MARK: Channels

    /// The channels that are subscribed for as long as the server runs.
    var systemChannels: [String] {
        let channels = [self.transport.channels.bridge, self.transport.channels.cluster, self.transport.inbox]
        return self.hasClients ? channels + self.clientChannels : channels
    }

    private var clientChannels: [String] { [self.transport.channels.everyone, self.transport.channels.clients] }

    /// From now on there may be clients here, whom messages of other servers are for.
    func serveClients() {
        let (isFirst, hasBegun) = self.wants.withLock { wants in
            defer { wants.hasClients = true }
            return (!wants.hasClients, wants.hasBegun)
        }
        guard isFirst else { return }
        if hasBegun { self.transport.subscribe(to: self.clientChannels) }
        self.transport.eventLoop.execute {
            self.servers.changeMembership { membership, now in membership.takeClients(now: now) }
        }
    }

    var hasClients: Bool { self.wants.withLock { $0.hasClients } }
    var hasBegun: Bool { self.wants.withLock { $0.hasBegun } }

    // MARK: Life

    /// Begins to use the bus.
    func begin() {
        self.transport.subscribe(to: self.systemChannels)
        self.transport.bus?.subscribe(to: self.transport.configuration.cluster.customChannels)
        self.clients.roomChannels.begin()
        // Who sees that it has begun may wait for the channels: they are wanted by then.
        self.wants.withLock { $0.hasBegun = true }
        // Clients may have been announced meanwhile.
        if self.hasClients { self.transport.subscribe(to: self.clientChannels) }
    }

    /// Keeps the bus connected until the task is cancelled. An end before that is told by the servers' failures.
    func run() async {
        guard let bus = self.transport.bus else { return }
        self.transport.eventLoop.execute {
            self.servers.delegate.value = self
            self.transport.courier?.setDelegate(self)
        }
        let membership = self.servers.startMembership()
        defer {
            for task in membership { task.cancel() }
            self.transport.eventLoop.execute { self.servers.delegate.value = nil }
        }
        do {
            try await bus.run(self)
        } catch {
            self.servers.failures.continuation.yield(error)
        }
        self.servers.failures.continuation.finish()
    }

    /// Waits for the handlers that run, then ends the requests that still wait.
    func stop(within deadline: Duration) async {
        await self.events.tasks.ended(within: deadline)
        self.requests.end()
        do {
            await self.transport.leave(isHurried: deadline == .zero)
            try await self.transport.eventLoop.submit {
                self.presence.end()
                self.servers.changeMembership { membership, now in membership.leave(now: now) }
            }.get()
            try await self.transport.bus?.drained(within: .seconds(1))
        } catch {
            self.transport.logger.notice("not all messages were sent", metadata: ["reason": "\(LogText(error))"])
        }
    }

    /// Lets go of all that listens. Nothing happens after that.
    func end() {
        self.requests.end()
        self.events.end()
        self.servers.end()
        self.transport.end()
    }
}

extension ClusterServices: Servers.Delegate {
    var load: (connections: Int, rooms: Int) { self.clients.load }

    func joined(_ server: Member) {
        self.presence.askFor(server.name)
    }

    func left(_ server: Member) {
        self.presence.left(server.name)
    }

    func isGone(_ server: Holder, hasStopped: Bool) {
        self.requests.endRequests(to: server.name, hasStopped ? .stopped : .died)
        self.remoteClients.isGone(server)
    }

    func isSuspect(_ server: Holder, _ isSuspect: Bool) {
        self.remoteClients.isSuspect(server, isSuspect)
    }

    func isHeard(_ server: Holder) {
        self.remoteClients.isHeard(server)
    }

    func tick(_ now: NIODeadline) {
        self.remoteClients.tick(now)
    }
}
