import CrossServerWebSocket
public import CrossServerWire
import Synchronization

// Every message is encoded once, whoever it goes to, and each event loop is told once.
extension WebSocketCrossServerAdapter {
    /// Sends an event to every client; see ``Configuration/broadcastReach``.
    ///
    /// - Parameter localOnly: only clients of this server.
    /// - Throws: ``CrossServerError`` with `overloaded`.
    public func broadcast(_ event: String, _ payload: Payload = .absent, localOnly: Bool = false) throws {
        try self.deliver(EncodedMessage(event: event, payload: payload), to: self.loops.all) { [configuration] _ in
            .all(configuration.broadcastReach)
        }
    }

    /// Sends an event to every client.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `overloaded`.
    public func broadcast<E: Event>(_ event: E, localOnly: Bool = false) throws {
        try self.broadcast(E.name, Payload(encoding: event), localOnly: localOnly)
    }

    /// Sends an event to the members of a room.
    ///
    /// - Parameters:
    ///   - excluding: ids of members that do not get it. Nil elements are passed over, so that
    ///     `excluding: [socket.id]` can be written.
    ///   - localOnly: only members on this server.
    ///   - removingRoom: removes the room afterwards.
    /// - Throws: ``CrossServerError`` with `overloaded`.
    public func broadcastToRoom(
        _ room: String,
        in namespace: String,
        _ event: String,
        _ payload: Payload = .absent,
        excluding: [String?] = [],
        localOnly: Bool = false,
        removingRoom: Bool = false
    ) throws {
        let name = Registry<ClientSocket>.RoomName(namespace: namespace, room: room)
        let (members, excluded) = self.registry.withLock { registry in
            let members = registry.room(name)?.membersByLoop ?? []
            let excluded = excluding.compactMap { $0.flatMap { registry.members[$0] } }
            if removingRoom { registry.removeRoom(name) }
            return (members, Set(excluded.map { ObjectIdentifier($0) }))
        }
        guard !members.isEmpty else { return }
        try self.deliver(EncodedMessage(event: event, payload: payload), to: self.loops.all) { loop in
            guard loop.index < members.count, !members[loop.index].isEmpty else { return nil }
            return .members(members[loop.index], excluding: excluded)
        }
    }

    /// Sends an event to the members of a room.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `overloaded`.
    public func broadcastToRoom<E: Event>(
        _ room: String,
        in namespace: String,
        _ event: E,
        excluding: [String?] = [],
        localOnly: Bool = false,
        removingRoom: Bool = false
    ) throws {
        try self.broadcastToRoom(
            room,
            in: namespace,
            E.name,
            Payload(encoding: event),
            excluding: excluding,
            localOnly: localOnly,
            removingRoom: removingRoom
        )
    }

    /// Sends an event to one client.
    ///
    /// - Returns: whether the client is connected to this server.
    /// - Throws: ``CrossServerError`` with `overloaded`.
    @discardableResult
    public func toSocketId(_ id: String, _ event: String, _ payload: Payload = .absent) throws -> Bool {
        try self.toSocketIds([id], event, payload) == 1
    }

    /// Sends an event to one client.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `overloaded`.
    @discardableResult
    public func toSocketId<E: Event>(_ id: String, _ event: E) throws -> Bool {
        try self.toSocketId(id, E.name, Payload(encoding: event))
    }

    /// Sends an event to several clients. An id that is named twice gets it once.
    ///
    /// - Returns: how many of them are connected to this server.
    /// - Throws: ``CrossServerError`` with `overloaded`.
    @discardableResult
    public func toSocketIds(_ ids: [String], _ event: String, _ payload: Payload = .absent) throws -> Int {
        let sockets = self.registry.withLock { registry in
            Set(ids.compactMap { registry.members[$0] })
        }
        guard !sockets.isEmpty else { return 0 }
        let message = EncodedMessage(event: event, payload: payload)
        var isOverloaded = false
        for socket in sockets where !socket.post(message) { isOverloaded = true }
        if isOverloaded { throw CrossServerError.overloaded }
        return sockets.count
    }

    /// Sends an event to several clients.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `overloaded`.
    @discardableResult
    public func toSocketIds<E: Event>(_ ids: [String], _ event: E) throws -> Int {
        try self.toSocketIds(ids, E.name, Payload(encoding: event))
    }

    private func deliver(
        _ message: EncodedMessage,
        to loops: [LoopContext],
        target: (LoopContext) -> Delivery.Target?
    ) throws(CrossServerError) {
        var isOverloaded = false
        for loop in loops {
            guard let target = target(loop) else { continue }
            if !loop.post(Delivery(target: target, message: message)) { isOverloaded = true }
        }
        // The loops that had room have sent it: what one cannot take must not keep it from the others.
        if isOverloaded { throw .overloaded }
    }
}

extension CrossServerError {
    static let overloaded = CrossServerError(
        .overloaded,
        "too many messages wait for an event loop; send less or later"
    )
}
