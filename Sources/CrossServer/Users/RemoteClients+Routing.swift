import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

// A message for one client goes to the server that holds it, where ids are unique in the cluster. Where they are not,
// every server may hold one with the id.
extension RemoteClients {
    private var findsHolders: Bool { self.transport.configuration.cluster.uniqueIds != .perServer }

    /// Sends a message to clients of other servers, each of which is named once.
    ///
    /// - Throws: as ``send(_:to:removingRoom:)``, when it was not sent to all of them.
    func send(_ message: EncodedMessage, toClients ids: [String]) throws {
        guard self.transport.bus != nil, !ids.isEmpty else { return }
        let frame = message.payload
        let (areAlone, hasOriginals) = self.servers.roster.withLock { ($0.isAlone, $0.originalServerCount > 0) }
        guard self.findsHolders, !areAlone else { return try self.publish(frame, toAllFor: ids, ask: nil) }
        // Published under the lock, which keeps the order: that encodes the message and puts it into the queue of a link, once
        // for each of the clients.
        try self.routing.withLock { routing in
            var failure: (any Error)?
            var shared: (ids: [String], ask: UInt64?) = ([], nil)
            for id in ids {
                switch routing.locations.send(frame, to: id, toAll: hasOriginals, now: .now()) {
                case .send(.shared(let ask)):
                    // The asks of one message follow each other.
                    if shared.ids.isEmpty { shared.ask = ask }
                    shared.ids.append(id)
                case .send(let route):
                    do {
                        try self.publish(frame, to: id, route)
                    } catch {
                        routing.locations.notSent(id, route)
                        failure = error
                    }
                case .hold: break
                case .refuse: failure = CrossServerError.overloaded
                }
            }
            if !shared.ids.isEmpty { try self.publish(frame, toAllFor: shared.ids, ask: shared.ask) }
            if let failure { throw failure }
        }
    }

    /// To all servers, since any may hold the clients.
    ///
    /// - Parameter ask: number of the first client's ask; the next ones have the next clients.
    private func publish(_ frame: ByteBuffer, toAllFor ids: [String], ask: UInt64?) throws {
        let scope: ClientMessage.Scope = ids.count == 1 ? .socket(ids[0]) : .sockets(ids)
        let route = ask.map { ClientMessage.Route.ask($0) }
        let message = ClientMessage(frame: frame, sender: self.transport.name, scope: scope, route: route)
        try self.transport.publish(message, to: self.transport.channels.clients, completion: nil)
    }

    private func publish(_ frame: ByteBuffer, to id: String, _ route: ClientRoute) throws {
        switch route {
        case .shared(let ask):
            try self.publish(frame, toAllFor: [id], ask: ask)
        case .inbox(let holder, let epoch, let number):
            let route = ClientMessage.Route.inbox(epoch: epoch, number: number)
            let message = ClientMessage(frame: frame, sender: self.transport.name, scope: .socket(id), route: route)
            let inbox = self.transport.channels.inbox(of: holder.name, incarnation: holder.incarnation)
            let audience = UInt64(holder.incarnation, radix: 36)
            try self.transport.publish(message, to: inbox, audience: audience) { [weak self] result, ticket in
                guard let self else { return }
                switch result {
                case .success(let publication) where publication.receivers != 0: break
                case .success:
                    // In another turn: this may be called while the lock is held.
                    self.transport.eventLoop.execute { self.unheard(message, id, holder, epoch, number, ticket) }
                case .failure(let error) where self.transport.courier == nil:
                    guard error.code != .outcomeUnknown else { return }
                    self.transport.eventLoop.execute { self.refused(message, id, epoch, number) }
                case .failure(let error):
                    // What has waited in vain is not sent any more; the holder sends back what comes behind it.
                    self.transport.eventLoop.execute { self.transport.unsent(on: inbox, error) }
                }
            }
        }
    }

    /// What comes of a change that concerns others than this server's queues.
    private struct LocationsOutcome: Sendable {
        var local: [Locations.Dispatch] = []
        var failures: [CrossServerError] = []
        var lost: [String] = []
    }

    /// Changes what is known of locations, and sends what has waited for that.
    private func changeLocations(_ body: (inout Locations) -> [Locations.Dispatch]) {
        let isLocal = { (id: String) in self.clients.read { $0.members[id] != nil } }
        let outcome = self.routing.withLock { routing in
            var outcome = LocationsOutcome()
            for dispatch in body(&routing.locations) {
                guard !isLocal(dispatch.id) else {
                    outcome.local.append(dispatch)
                    continue
                }
                do {
                    try self.publish(dispatch.frame, to: dispatch.id, dispatch.route)
                } catch {
                    routing.locations.notSent(dispatch.id, dispatch.route)
                    outcome.failures.append(error as? CrossServerError ?? CrossServerError(.busUnavailable, "\(error)"))
                }
            }
            outcome.lost = routing.locations.takeLost()
            return outcome
        }
        // Not under the lock: reports run the application's code, and to post can run what waits for the client's event
        // loop.
        for dispatch in outcome.local {
            let socket = self.clients.read { $0.members[dispatch.id] }
            if socket?.post(EncodedMessage(text: dispatch.frame)) == false {
                self.notSent("message for a client", CrossServerError.overloaded)
            }
        }
        for failure in outcome.failures { self.transport.unsent(on: self.transport.channels.clients, failure) }
        for id in outcome.lost { self.cameTooLate(for: id) }
    }

    private func notSent(_ what: String, _ error: any Error) {
        ClusterCounters.increment(self.transport.counters.messagesNotSent)
        self.transport.throttles.notSent.log(
            self.transport.logger,
            level: .warning,
            "not sent: \(what)",
            metadata: ["error": "\(LogText(error))"]
        )
    }

    /// A client has logged in here.
    func clientConnected(_ id: String) {
        guard self.findsHolders, self.transport.bus != nil else { return }
        self.changeLocations { $0.connectedHere(id, now: .now()) }
    }

    /// A client has logged in at another server.
    func clientConnected(_ id: String, at server: String) {
        guard let member = self.servers.roster.withLock({ $0.members[server] }) else { return }
        let holder = Holder(member)
        self.routing.withLock { routing in
            if routing.asked[id] != nil { routing.asked[id] = holder }
        }
        self.changeLocations { $0.moved(id, to: holder, now: .now()) }
    }

    /// It is sure that the server delivers nothing any more.
    func isGone(_ holder: Holder) {
        self.changeLocations { $0.serverLeft(holder, now: .now()) }
    }

    /// Nobody hears the server's inbox any more, or somebody does again.
    func isSuspect(_ holder: Holder, _ isSuspect: Bool) {
        self.changeLocations { locations in
            isSuspect ? locations.suspected(holder, now: .now()) : locations.heard(holder, now: .now())
        }
    }

    /// A link delivers to the server's inbox, or cannot say: what nobody has heard it asks for.
    func isHeard(_ holder: Holder) {
        guard self.routing.withLock({ $0.locations.undecided.contains(holder) }) else { return }
        self.isSuspect(holder, false)
    }

    /// To be called ten times a second.
    func tick(_ now: NIODeadline) {
        self.changeLocations { $0.tick(now: now) }
        let undecided = self.routing.withLock { $0.locations.undecided }
        if !undecided.isEmpty { self.servers.countInboxes(of: undecided, now) }
    }

    private func refused(_ message: ClientMessage, _ id: String, _ epoch: UInt64, _ number: UInt64) {
        self.changeLocations {
            $0.refused(id, epoch: epoch, number: number, frame: message.frame, now: .now())
        }
    }

    /// Nobody has received a message to the inbox of a holder.
    private func unheard(
        _ message: ClientMessage,
        _ id: String,
        _ holder: Holder,
        _ epoch: UInt64,
        _ number: UInt64,
        _ ticket: DeliveryTicket?
    ) {
        // Without numbers nobody asks for it later.
        guard let ticket else { return self.refused(message, id, epoch, number) }
        let now = NIODeadline.now()
        self.changeLocations {
            $0.unheard(id, epoch: epoch, number: number, ticket: ticket, frame: message.frame, now: now)
        }
        self.servers.countInboxes(of: [holder], now)
    }

    /// A message for one client has found it nowhere.
    func cameTooLate(for id: String) {
        let error = CrossServerError(.unknownSocket, "the client \(id) has moved or gone")
        self.transport.unsent(on: self.transport.channels.clients, error)
    }

    /// The server that is known to hold the client; nil when others may too.
    func knownHolder(of id: String) -> String? {
        guard self.findsHolders else { return nil }
        let holder = self.routing.withLock { $0.asked[id] ?? $0.locations.holder(of: id) }
        guard let holder else { return nil }
        let isAlive = self.servers.roster.withLock { roster in
            roster.members[holder.name]?.incarnation == holder.incarnation && roster.suspects[holder.name] == nil
        }
        return isAlive ? holder.name : nil
    }

    /// - Parameter server: nil when the one that was known does not hold the client any more.
    func remember(_ server: String?, asHolderOf id: String) {
        guard self.findsHolders else { return }
        let member = server.flatMap { server in self.servers.roster.withLock { $0.members[server] } }
        let holder = member.map { Holder($0) }
        self.routing.withLock { routing in
            routing.asked.forget(now: .now(), keeping: EmptyCollection())
            routing.asked[id] = holder
        }
    }

    /// A message for one client, or what another server says of one.
    ///
    /// - Returns: whether it could be handed on.
    func received(_ message: ClientMessage, for id: String, _ route: ClientMessage.Route?) -> Bool {
        switch route {
        case nil, .removingRoom:
            return self.clients.read { $0.members[id] }?.post(EncodedMessage(text: message.frame)) ?? true
        case .ask(let ask):
            guard let socket = self.clients.read({ $0.members[id] }) else { return true }
            self.tell(message.sender, whoAsked: ask, of: socket, id)
            return socket.post(EncodedMessage(text: message.frame))
        case .inbox(let epoch, let number):
            let socket = self.clients.read { $0.members[id] }
            let decision = self.routing.withLock {
                $0.holdings.received(
                    from: message.sender,
                    for: id,
                    epoch: epoch,
                    number: number,
                    hasClient: socket != nil,
                    now: .now()
                )
            }
            switch decision {
            case .deliver: return socket?.post(EncodedMessage(text: message.frame)) ?? true
            case .refuse:
                let route = ClientMessage.Route.refused(epoch: epoch, number: number)
                self.answer(message.sender, of: id, route, frame: message.frame)
            case .ignore: break
            }
        case .delivered(let ask, let connectedFor):
            guard let member = self.servers.roster.withLock({ $0.members[message.sender] }) else { return true }
            let holder = Holder(name: member.name, incarnation: member.incarnation)
            let age = TimeAmount.milliseconds(Int64(clamping: min(connectedFor, 1 << 40)))
            self.changeLocations { $0.answered(id, ask: ask, by: holder, connectedFor: age, now: .now()) }
        case .refused(let epoch, let number):
            self.refused(message, id, epoch, number)
        }
        return true
    }

    /// The client is here.
    func tell(_ server: String, whoAsked ask: UInt64, of socket: ClientSocket, _ id: String) {
        let age = (NIODeadline.now() - socket.boundAt).nanoseconds / 1_000_000
        let route = ClientMessage.Route.delivered(ask: ask, connectedFor: UInt64(max(age, 0)))
        self.answer(server, of: id, route, frame: ByteBuffer())
    }

    private func answer(_ server: String, of id: String, _ route: ClientMessage.Route, frame: ByteBuffer) {
        // A server that is not known yet goes on asking. But one that has fallen silent gets back what it has sent.
        guard let inbox = self.servers.inbox(of: server) else {
            if frame.readableBytes > 0 {
                self.notSent("message back to the server that sent it", CrossServerError(.unreachable, server))
            }
            return
        }
        let answer = ClientMessage(frame: frame, sender: self.transport.name, scope: .socket(id), route: route)
        do {
            try self.transport.publish(answer, to: inbox.channel, audience: inbox.incarnation, completion: nil)
        } catch {
            self.notSent("answer to a server", error)
        }
    }
}
