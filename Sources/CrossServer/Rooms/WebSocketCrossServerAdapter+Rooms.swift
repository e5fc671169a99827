import CrossServerWire
import Synchronization

// Membership
extension WebSocketCrossServerAdapter {
    /// Puts an id into a room, and waits until every message that any server sends to the room from now on is heard: the
    /// channel of its namespace is subscribed on every link of the bus, for example Redis node, that is usable. The room and
    /// its namespace exist for as long as they have members.
    ///
    /// While no link is usable it returns at once: the id is in the room, which is heard when a link returns.
    ///
    /// - Parameters:
    ///   - room: the room's name, unique in its namespace.
    ///   - namespace: groups rooms, for example `chat`.
    ///   - id: one that is bound to a connection of this server.
    ///   - timeout: the longest time to wait for links that are usable. 2 s by default.
    /// - Returns: whether the room is heard now.
    /// - Throws: ``CrossServerError`` with `unknownSocket`, `tooManyRooms` or `invalidName`. The id is in the room when the
    ///   error is ``BusError`` with `subscriptionFailed`, because a link refuses the channel, or `CancellationError`.
    @discardableResult
    public func joinRoom(
        _ room: String,
        in namespace: String,
        _ id: String,
        within timeout: Duration = .seconds(2)
    ) async throws -> RoomSubscription {
        let name = RoomName(namespace: namespace, room: room)
        try self.join(name, id)
        guard self.transport.bus != nil else { return .inForce }
        // Another one may have made the room just now, and not subscribed yet.
        self.clients.updateChannels([name])
        return try await self.clients.roomChannels.heard(self.clients.roomChannels.channels(of: name), within: timeout)
    }

    /// Puts an id into a room, and does not wait until it is heard: of what other servers send to the room right after this
    /// the id may miss some. For where nothing can be awaited, or nothing that is sent so soon counts.
    ///
    /// - Parameters: as for ``joinRoom(_:in:_:within:)``.
    /// - Throws: ``CrossServerError`` with `unknownSocket`, `tooManyRooms` or `invalidName`.
    public func joinRoomWithoutWaiting(_ room: String, in namespace: String, _ id: String) throws {
        try self.join(RoomName(namespace: namespace, room: room), id)
    }

    private func join(_ name: RoomName, _ id: String) throws(CrossServerError) {
        try self.configuration.limits.checkName(name.room, "room")
        try self.configuration.limits.checkName(name.namespace, "namespace")
        let maximum = self.configuration.limits.maximumRoomsPerClient
        let namespaces = self.configuration.limits.maximumNamespacesPerClient
        switch self.clients.change({
            $0.join(id, name, maximumRooms: maximum, maximumNamespaces: namespaces)
        }) {
        case .joined, .alreadyIn: return
        case .unknownMember: throw CrossServerError(.unknownSocket, "no connection of this server holds the id \(id)")
        case .tooManyRooms: throw CrossServerError(.tooManyRooms, "a client may be in \(maximum) rooms")
        case .tooManyNamespaces:
            throw CrossServerError(.tooManyRooms, "a client may be in rooms of \(namespaces) namespaces")
        }
    }

    /// Takes an id out of a room.
    ///
    /// - Returns: whether it was in the room.
    @discardableResult
    public func leaveRoom(_ room: String, in namespace: String, _ id: String) -> Bool {
        self.clients.change { $0.leave(id, RoomName(namespace: namespace, room: room)) }
    }

    /// Takes everyone out of a room, which ends it, on every server of this library. The original's `removeRoom` does so on
    /// its own server alone: that is `localOnly`.
    ///
    /// - Parameter localOnly: only on this server.
    /// - Throws: ``CrossServerError`` with `busUnavailable` or `overloaded`: the room is removed on this server only.
    public func removeRoom(_ room: String, in namespace: String, localOnly: Bool = false) throws {
        self.clients.change { $0.removeRoom(RoomName(namespace: namespace, room: room)) }
        if !localOnly { try self.transport.tell(ClusterQuestion.RemoveRoom(namespace: namespace, room: room)) }
    }
}

// Queries, about this server alone
extension WebSocketCrossServerAdapter {
    /// How many ids are in a room, or with `.prefix` in any room whose name starts so. Each id counts once.
    public func socketCount(inRoom room: String, in namespace: String, matching: NameMatch = .exact) -> Int {
        if case .exact = matching {
            return self.clients.read { $0.namespaces[namespace]?[room]?.count ?? 0 }
        }
        return self.roomSocketIds(inRoom: room, in: namespace, matching: matching).count
    }

    /// How many ids are in any room of a namespace. Each id counts once.
    public func socketCount(in namespace: String) -> Int {
        self.roomSocketIds(in: namespace).count
    }

    /// The ids in a room, or with `.prefix` in any room whose name starts so.
    public func roomSocketIds(inRoom room: String, in namespace: String, matching: NameMatch = .exact) -> Set<String> {
        self.clients.read { registry in
            if case .exact = matching { return Set(registry.namespaces[namespace]?[room]?.ids ?? []) }
            let rooms = registry.namespaces[namespace] ?? [:]
            return Set(rooms.filter { matching($0.key, room) }.flatMap { $0.value.ids })
        }
    }

    /// The ids in any room of a namespace.
    public func roomSocketIds(in namespace: String) -> Set<String> {
        self.clients.read { registry in
            Set((registry.namespaces[namespace] ?? [:]).values.flatMap { $0.ids })
        }
    }

    /// The rooms that an id is in, by namespace.
    ///
    /// - Parameter prefix: only namespaces that start with it.
    public func joinedRooms(of id: String, inNamespacesWithPrefix prefix: String = "") -> [String: Set<String>] {
        let rooms = self.clients.read { $0.rooms(of: id) }
        return rooms.reduce(into: [:]) { result, name in
            guard name.namespace.hasPrefix(prefix) else { return }
            result[name.namespace, default: []].insert(name.room)
        }
    }

    /// Whether an id is in a room, or, without a room, in any of the namespace.
    public func isJoinedRoom(_ id: String, in namespace: String, room: String? = nil) -> Bool {
        self.clients.read { registry in
            let rooms = registry.rooms(of: id)
            if let room { return rooms.contains(RoomName(namespace: namespace, room: room)) }
            return rooms.contains { $0.namespace == namespace }
        }
    }

    /// How many rooms a namespace has, or with `.prefix` all namespaces whose name starts so.
    public func roomCount(in namespace: String, matching: NameMatch = .exact) -> Int {
        self.clients.read { registry in
            if case .exact = matching { return registry.namespaces[namespace]?.count ?? 0 }
            return registry.namespaces.reduce(0) { $0 + (matching($1.key, namespace) ? $1.value.count : 0) }
        }
    }

    /// The rooms of a namespace, or with `.prefix` of all namespaces whose name starts so.
    public func roomIds(in namespace: String, matching: NameMatch = .exact) -> [String] {
        self.clients.read { registry in
            if case .exact = matching { return Array((registry.namespaces[namespace] ?? [:]).keys) }
            return registry.namespaces.filter { matching($0.key, namespace) }.flatMap { $0.value.keys }
        }
    }
}
