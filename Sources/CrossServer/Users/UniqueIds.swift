import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Ids of which the cluster shall have one.
struct IdReservations: Sendable {
    /// That this server waits to be allowed.
    var reserved: Set<String> = []
    /// That another server may have, until it says what has come of it.
    private var granted: [String: (server: String, until: NIODeadline)] = [:]
    /// A Lamport clock: a claim has a higher number than all that its server had heard of, so that of claims that cross
    /// each other all servers take the same for the last.
    private var clock: UInt64 = 0

    /// A login that is older gives way to any claim, also of a server that has not heard of it.
    static let settledAfter = TimeAmount.seconds(10)

    static let maximumGranted = 10_000

    func isGranted(_ id: String, toOtherThan server: String, now: NIODeadline) -> Bool {
        self.granted[id].map { $0.server != server && now < $0.until } ?? false
    }

    /// - Returns: false when too many are granted.
    mutating func grant(_ id: String, to server: String, now: NIODeadline) -> Bool {
        if self.granted.count >= Self.maximumGranted { self.granted = self.granted.filter { now < $0.value.until } }
        guard self.granted.count < Self.maximumGranted else { return false }
        self.granted[id] = (server, now + Self.settledAfter)
        return true
    }

    mutating func release(_ id: String, by server: String) {
        if self.granted[id]?.server == server { self.granted[id] = nil }
    }

    mutating func nextNumber() -> UInt64 {
        self.clock += 1
        return self.clock
    }

    mutating func heard(_ number: UInt64) {
        self.clock = max(self.clock, min(number, .max >> 1))
    }
}

/// Sees to it that the cluster has each id once, where that is wanted.
final class UniqueIdClaims: Sendable {
    private let transport: Transport
    private let requests: ServerRequests
    private let clients: LocalClients
    private let remoteClients: RemoteClients
    private let uniqueIds = Mutex(IdReservations())

    init(_ transport: Transport, _ requests: ServerRequests, _ clients: LocalClients, _ remoteClients: RemoteClients) {
        self.transport = transport
        self.requests = requests
        self.clients = clients
        self.remoteClients = remoteClients
    }

    /// Tells the other servers that a client has logged in here, so that they close an older connection with the id.
    func claim(_ id: String, for socket: ClientSocket) throws {
        let number = self.uniqueIds.withLock { $0.nextNumber() }
        socket.claim = number
        try self.transport.tell(ClusterQuestion.Claim(id: id, number: number))
    }

    /// Another server has a connection with the id: of that and the one here the older goes.
    func claimed(_ claim: ClusterQuestion.Claim, by server: String) {
        guard server != self.transport.name else { return }
        self.uniqueIds.withLock { $0.heard(claim.number) }
        self.remoteClients.clientConnected(claim.id, at: server)
        guard let socket = self.clients.read({ $0.members[claim.id] }), let own = socket.claim else { return }
        if NIODeadline.now() - socket.boundAt < IdReservations.settledAfter,
            (own, self.transport.name) > (claim.number, server)
        {
            // It may have come before the other one's login.
            do {
                try self.transport.tell(ClusterQuestion.Claim(id: claim.id, number: own))
            } catch {
                self.transport.logger.notice(
                    "a client may be connected twice",
                    metadata: ["error": "\(LogText(error))"]
                )
            }
            return
        }
        // First of all, so that no message is for this connection any more. One that is on its way there is reported.
        self.clients.change { registry in
            if registry.release(claim.id, heldBy: socket) != nil { socket.id = nil }
        }
        socket.closeReplaced { [weak self] in self?.remoteClients.cameTooLate(for: claim.id) }
    }

    /// Whether the server may not have the id. If it may, nobody else may until it has said what has come of it. Of two
    /// that want it in the same moment it is the one whose name comes first.
    func isTaken(_ id: String, for server: String) -> Bool {
        if self.clients.read({ $0.members[id] != nil }) { return true }
        let now = NIODeadline.now()
        return self.uniqueIds.withLock { state in
            if state.reserved.contains(id), self.transport.name < server { return true }
            if state.isGranted(id, toOtherThan: server, now: now) { return true }
            return !state.grant(id, to: server, now: now)
        }
    }

    /// Asks all servers for an id.
    ///
    /// - Throws: ``CrossServerError`` with `idTaken`.
    func reserve(_ id: String, timeout: Duration, then bind: () throws -> Void) async throws {
        let taken = CrossServerError(.idTaken, "a client with the id is connected already: \(id)")
        let now = NIODeadline.now()
        let isFirst = self.uniqueIds.withLock { state in
            !state.isGranted(id, toOtherThan: self.transport.name, now: now) && state.reserved.insert(id).inserted
        }
        guard isFirst else { throw taken }
        defer { _ = self.uniqueIds.withLock { $0.reserved.remove(id) } }
        if self.clients.read({ $0.members[id] != nil }) { throw taken }
        let replies = try await self.requests.ask(ClusterQuestion.Reserve(id: id), timeout: timeout) { $0.isTaken }
        defer { self.release(id) }
        guard !replies.replies.values.contains(where: \.isTaken) else { throw taken }
        try bind()
    }

    /// Another server has decided whether its client has the id.
    func released(_ id: String, by server: String) {
        self.uniqueIds.withLock { $0.release(id, by: server) }
    }

    private func release(_ id: String) {
        do {
            try self.transport.tell(ClusterQuestion.Release(id: id))
        } catch {
            self.transport.logger.debug("an id stays reserved for a while", metadata: ["error": "\(LogText(error))"])
        }
    }
}
