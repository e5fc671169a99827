import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Where the clients of other servers are, and what this server has delivered to its own.
struct ClientRouting: Sendable {
    var locations = Locations()
    var holdings = Holdings()
    /// Where clients were that have been asked something.
    var asked = RecentValues<String, Holder>(maximumCount: 100_000, lifetime: .seconds(60))
    /// Since when this server hears anybody at all.
    var hearingSince: NIODeadline?
    /// Servers that have fallen silent while this one heard nobody: they may be well.
    var silent: Set<Holder> = []

    /// For as long as it takes to notice that somebody lives.
    func hasHeardWell(_ now: NIODeadline) -> Bool {
        self.hearingSince.map { now - $0 >= Membership.Configuration().deadAfter } ?? false
    }
}

// A message for one client goes to the server that holds it, where ids are unique in the cluster. Where they are not,
// every server may hold one with the id.
extension ClusterNode {
    private var findsHolders: Bool { self.configuration.cluster.uniqueIds != .perServer }

    /// Sends a message to clients of other servers, each of which is named once.
    ///
    /// - Throws: as ``send(_:to:removingRoom:)``, when it was not sent to all of them.
    func send(_ message: EncodedMessage, toClients ids: [String]) throws {
        guard self.bus != nil, !ids.isEmpty else { return }
        let frame = message.payload
        let (areAlone, hasOriginals) = self.roster.withLock { ($0.isAlone, $0.originalServerCount > 0) }
        guard self.findsHolders, !areAlone else { return try self.publish(frame, toAllFor: ids, ask: nil) }
        // Published under the lock, which keeps the order; publishing puts the message in a queue.
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
        let message = ClientMessage(frame: frame, sender: self.name, scope: scope, route: route)
        try self.publish(message, to: self.channels.clients, completion: nil)
    }

    private func publish(_ frame: ByteBuffer, to id: String, _ route: ClientRoute) throws {
        switch route {
        case .shared(let ask):
            try self.publish(frame, toAllFor: [id], ask: ask)
        case .inbox(let holder, let epoch, let number):
            let route = ClientMessage.Route.inbox(epoch: epoch, number: number)
            let message = ClientMessage(frame: frame, sender: self.name, scope: .socket(id), route: route)
            let inbox = self.channels.inbox(of: holder.name, incarnation: holder.incarnation)
            let audience = UInt64(holder.incarnation, radix: 36)
            try self.publish(message, to: inbox, audience: audience) { [weak self] result in
                guard let self else { return }
                // In another turn: this may be called while the lock is held.
                if self.courier == nil {
                    guard result.reachedNobody else { return }
                    self.eventLoop.execute { self.refused(message, id, epoch, number) }
                } else if case .failure(let error) = result {
                    // What has waited in vain is not sent any more; the holder sends back what comes behind it.
                    self.unsent(on: inbox, error)
                }
            }
        }
    }

    /// Changes what is known of locations, and sends what has waited for that.
    private func changeLocations(_ body: (inout Locations) -> [Locations.Dispatch]) {
        let isLocal = { (id: String) in self.clients.read { $0.members[id] != nil } }
        let local = self.routing.withLock { routing in
            body(&routing.locations).filter { dispatch in
                if isLocal(dispatch.id) { return true }
                do {
                    try self.publish(dispatch.frame, to: dispatch.id, dispatch.route)
                } catch {
                    routing.locations.notSent(dispatch.id, dispatch.route)
                    let error = error as? CrossServerError ?? CrossServerError(.busUnavailable, "\(error)")
                    self.unsent(on: self.channels.clients, error)
                }
                return false
            }
        }
        // Not under the lock: this can run what waits for the client's event loop.
        for dispatch in local {
            let socket = self.clients.read { $0.members[dispatch.id] }
            if socket?.post(EncodedMessage(text: dispatch.frame)) == false {
                self.notSent("message for a client", CrossServerError.overloaded)
            }
        }
    }

    private func notSent(_ what: String, _ error: any Error) {
        ClusterCounters.increment(self.counters.messagesNotSent)
        self.throttles.notSent.log(
            self.logger,
            level: .warning,
            "not sent: \(what)",
            metadata: ["error": "\(LogText(error))"]
        )
    }

    /// A client has logged in here.
    func clientConnected(_ id: String) {
        guard self.findsHolders, self.bus != nil else { return }
        self.changeLocations { $0.connectedHere(id, now: .now()) }
    }

    /// A client has logged in at another server.
    func clientConnected(_ id: String, at server: String) {
        guard let member = self.roster.withLock({ $0.members[server] }) else { return }
        let holder = Holder(name: member.name, incarnation: member.incarnation)
        self.routing.withLock { $0.locations.moved(id, to: holder, now: .now()) }
    }

    /// Who has died holds no client any more. But when this server could not hear, its messages wait, and must not be
    /// overtaken by others on another way.
    func serverLeft(_ member: Member, _ reason: MembershipAction.LeaveReason) {
        let holder = Holder(name: member.name, incarnation: member.incarnation)
        self.routing.withLock { routing in
            if case .died = reason, self.courier != nil, !routing.hasHeardWell(.now()) {
                routing.silent.insert(holder)
            } else {
                routing.locations.serverLeft(holder, now: .now())
            }
        }
    }

    /// To be called ten times a second.
    func tickLocations() {
        let now = NIODeadline.now()
        let (hears, members) = self.roster.withLock { ($0.own?.links.isEmpty == false, $0.members) }
        self.routing.withLock { routing in
            routing.hearingSince = hears ? routing.hearingSince ?? now : nil
            routing.silent = routing.silent.filter { members[$0.name]?.incarnation != $0.incarnation }
            guard !routing.silent.isEmpty, routing.hasHeardWell(now) else { return }
            for holder in routing.silent { routing.locations.serverLeft(holder, now: now) }
            routing.silent = []
        }
        self.changeLocations { $0.tick(now: now) }
    }

    private func refused(_ message: ClientMessage, _ id: String, _ epoch: UInt64, _ number: UInt64) {
        var isLate = false
        self.changeLocations { locations in
            let before = locations.lateRefusals
            defer { isLate = locations.lateRefusals > before }
            return locations.refused(id, epoch: epoch, number: number, frame: message.frame, now: .now())
        }
        if isLate { self.cameTooLate(for: id) }
    }

    /// A message for one client has found it nowhere.
    func cameTooLate(for id: String) {
        let error = CrossServerError(.unknownSocket, "the client \(id) has moved or gone")
        self.unsent(on: self.channels.clients, error)
    }

    /// The server that is known to hold the client; nil when others may too.
    func knownHolder(of id: String) -> String? {
        guard self.findsHolders else { return nil }
        let holder = self.routing.withLock { $0.asked[id] ?? $0.locations.holder(of: id) }
        guard let holder else { return nil }
        let isAlive = self.roster.withLock { $0.members[holder.name]?.incarnation == holder.incarnation }
        return isAlive ? holder.name : nil
    }

    /// - Parameter server: nil when the one that was known does not hold the client any more.
    func remember(_ server: String?, asHolderOf id: String) {
        guard self.findsHolders else { return }
        let member = server.flatMap { server in self.roster.withLock { $0.members[server] } }
        let holder = member.map { Holder(name: $0.name, incarnation: $0.incarnation) }
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
            guard let member = self.roster.withLock({ $0.members[message.sender] }) else { return true }
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
        guard let inbox = self.inbox(of: server) else {
            if frame.readableBytes > 0 {
                self.notSent("message back to the server that sent it", CrossServerError(.unreachable, server))
            }
            return
        }
        let answer = ClientMessage(frame: frame, sender: self.name, scope: .socket(id), route: route)
        do {
            try self.publish(answer, to: inbox.channel, audience: inbox.incarnation, completion: nil)
        } catch {
            self.notSent("answer to a server", error)
        }
    }
}

extension Result<Publication, BusError> {
    /// Whether it is sure that nobody has received the message. What has a number is asked for, all the same.
    fileprivate var reachedNobody: Bool {
        switch self {
        case .success(let publication): publication.receivers == 0
        case .failure(let error): error.code != .outcomeUnknown
        }
    }
}
