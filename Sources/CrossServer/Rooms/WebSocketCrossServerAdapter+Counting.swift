import CrossServerWire

// Questions to the whole cluster. Each asks every live server once, this one too; a server that has died is not waited for.
// Without a bus this server answers alone.
extension WebSocketCrossServerAdapter {
    /// How many ids are bound, by server.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketCount(timeout: Duration = .seconds(2)) async throws -> ClusterAnswer<[String: Int]> {
        try await self.count(.init(), timeout)
    }

    /// How many ids are in any room of a namespace, by server. On one server each counts once.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketCount(
        in namespace: String,
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: Int]> {
        try await self.count(.init(namespace: namespace), timeout)
    }

    /// How many ids are in a room, or with `.prefix` in any room whose name starts so, by server.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketCount(
        inRoom room: String,
        in namespace: String,
        matching: NameMatch = .exact,
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: Int]> {
        try await self.count(.init(namespace: namespace, room: room, isPrefix: matching == .prefix), timeout)
    }

    /// The ids that are bound, by server. What does not fit into one bus message makes a server missing.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketIds(timeout: Duration = .seconds(2)) async throws -> ClusterAnswer<[String: Set<String>]> {
        try await self.ids(.init(), timeout)
    }

    /// The ids in any room of a namespace, by server.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketIds(
        in namespace: String,
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: Set<String>]> {
        try await self.ids(.init(namespace: namespace), timeout)
    }

    /// The ids in a room, or with `.prefix` in any room whose name starts so, by server.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterSocketIds(
        inRoom room: String,
        in namespace: String,
        matching: NameMatch = .exact,
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: Set<String>]> {
        try await self.ids(.init(namespace: namespace, room: room, isPrefix: matching == .prefix), timeout)
    }

    private func count(
        _ selection: ClusterQuestion.Selection,
        _ timeout: Duration
    ) async throws -> ClusterAnswer<[String: Int]> {
        let replies = try await self.cluster.requests.ask(ClusterQuestion.Count(selection: selection), timeout: timeout)
        return ClusterAnswer(value: replies.replies.mapValues(\.count), missing: replies.missing)
    }

    private func ids(
        _ selection: ClusterQuestion.Selection,
        _ timeout: Duration
    ) async throws -> ClusterAnswer<[String: Set<String>]> {
        let replies = try await self.cluster.requests.ask(ClusterQuestion.Ids(selection: selection), timeout: timeout)
        return ClusterAnswer(value: replies.replies.mapValues(\.ids), missing: replies.missing)
    }
}
