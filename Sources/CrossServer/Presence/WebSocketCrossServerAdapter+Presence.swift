import NIOCore

extension WebSocketCrossServerAdapter {
    /// Watches who is in a room, on all servers of the cluster. Returns when every live server has answered, or is in
    /// ``RoomPresence/missing``; that takes 4 s at most.
    ///
    /// Servers tell of changes about 20 ms after they happen. What is lost on the way is noticed and asked for, at the
    /// latest after 10 s. The room need not exist. At most 10,000 rooms can be watched by one server, and on one server.
    ///
    /// - Parameters:
    ///   - room: the room's name.
    ///   - namespace: the room's namespace.
    ///   - grace: how long a member may be away without having left: one that comes back in time, to whatever server, causes
    ///     no change. In the count-only form it holds for a server that has gone with all its members. Zero to an hour. 2 s.
    ///   - detail: whether the ids of the members are wanted, or only how many they are.
    /// - Throws: ``CrossServerError`` with `invalidName`, `overloaded` or `stopping`; `CancellationError`.
    public func presence(
        ofRoom room: String,
        in namespace: String,
        grace: Duration = .seconds(2),
        detail: RoomPresence.Detail = .members
    ) async throws -> RoomPresence {
        try self.configuration.limits.checkName(room, "room")
        try self.configuration.limits.checkName(namespace, "namespace")
        let topic = PresenceTopic(
            room: RoomName(namespace: namespace, room: room),
            isCountOnly: detail == .countOnly
        )
        let grace = TimeAmount(min(max(grace, .zero), .seconds(3_600)))
        return try await self.cluster.presence.presence(PresenceKey(topic: topic, grace: grace))
    }
}
