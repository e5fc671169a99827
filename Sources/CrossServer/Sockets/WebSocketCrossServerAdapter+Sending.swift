import CrossServerWebSocket
public import CrossServerWire

// Clients of this server get a message at once, those of others over the bus. A message is for whoever is connected when
// it arrives.
extension WebSocketCrossServerAdapter {
    /// Sends an event to every client of every server; see ``Configuration/broadcastReach``.
    ///
    /// - Parameter localOnly: only clients of this server.
    /// - Parameter delivery: to other servers; best effort for a message that is worthless when it is late, `latest` for one of which only
    ///   the newest counts.
    /// - Throws: ``CrossServerError`` with `overloaded` when clients of this server did not get it; with
    ///   `busUnavailable`, `overloaded` or `messageTooLarge` when those of other servers do not; with `invalidName` or
    ///   `invalidConfiguration`, before it goes to anyone, when ``Configuration/Delivery/latest(key:)`` cannot be had.
    public func broadcast(
        _ event: String,
        _ payload: Payload = .absent,
        localOnly: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws {
        try self.transport.check(delivery)
        let message = EncodedMessage(event: event, payload: payload)
        let isTaken = self.clients.broadcast(message)
        if !localOnly { try self.cluster.remoteClients.send(message, to: .everyone, delivery: delivery) }
        if !isTaken { throw CrossServerError.overloaded }
    }

    /// Sends an event to every client.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `overloaded`.
    public func broadcast<E: Event>(
        _ event: E,
        localOnly: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws {
        try self.broadcast(E.name, Payload(encoding: event), localOnly: localOnly, delivery: delivery)
    }

    /// Sends an event to the members of a room on every server.
    ///
    /// - Parameters:
    ///   - excluding: ids of members that do not get it. Nil elements are passed over, so that
    ///     `excluding: [socket.id]` can be written.
    ///   - localOnly: only members on this server.
    ///   - removingRoom: removes the room afterwards, on every server that the message reaches.
    ///   - delivery: to other servers; best effort for a message that is worthless when it is late, `latest` for one of which only
    ///     the newest counts.
    /// - Throws: as ``broadcast(_:_:localOnly:delivery:)``.
    public func broadcastToRoom(
        _ room: String,
        in namespace: String,
        _ event: String,
        _ payload: Payload = .absent,
        excluding: [String?] = [],
        localOnly: Bool = false,
        removingRoom: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws {
        try self.transport.check(delivery)
        let message = EncodedMessage(event: event, payload: payload)
        let excluding = excluding.compactMap { $0 }
        let isTaken = self.clients.send(
            message,
            to: RoomName(namespace: namespace, room: room),
            excluding: excluding,
            removing: removingRoom
        )
        if !localOnly {
            let scope = ClientMessage.Scope.room(namespace: namespace, id: room, excluding: excluding)
            try self.cluster.remoteClients.send(message, to: scope, removingRoom: removingRoom, delivery: delivery)
        }
        if !isTaken { throw CrossServerError.overloaded }
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
        removingRoom: Bool = false,
        delivery: Configuration.Delivery = .ordered
    ) throws {
        try self.broadcastToRoom(
            room,
            in: namespace,
            E.name,
            Payload(encoding: event),
            excluding: excluding,
            localOnly: localOnly,
            removingRoom: removingRoom,
            delivery: delivery
        )
    }

    /// Sends an event to the client with the id. If it is connected to this server the others are not asked.
    ///
    /// - Returns: whether the client is connected to this server.
    /// - Throws: as ``broadcast(_:_:localOnly:delivery:)``.
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

    /// Sends an event to several clients, each as ``toSocketId(_:_:_:)``, in order with that. An id that is named twice gets
    /// it once.
    ///
    /// - Returns: how many of them are connected to this server.
    /// - Throws: as ``broadcast(_:_:localOnly:delivery:)``.
    @discardableResult
    public func toSocketIds(_ ids: [String], _ event: String, _ payload: Payload = .absent) throws -> Int {
        var sockets: Set<ClientSocket> = []
        var others: [String] = []
        var named: Set<String> = []
        self.clients.read { registry in
            for id in ids where !id.isEmpty {
                if let socket = registry.members[id] {
                    sockets.insert(socket)
                } else if ids.count == 1 || named.insert(id).inserted {
                    others.append(id)
                }
            }
        }
        guard !sockets.isEmpty || self.transport.bus != nil else { return 0 }
        let message = EncodedMessage(event: event, payload: payload)
        var isOverloaded = false
        for socket in sockets where !socket.post(message) { isOverloaded = true }
        try self.cluster.remoteClients.send(message, toClients: others)
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
}

extension CrossServerError {
    static let overloaded = CrossServerError(
        .overloaded,
        "too many messages wait for an event loop; send less or later"
    )
}
