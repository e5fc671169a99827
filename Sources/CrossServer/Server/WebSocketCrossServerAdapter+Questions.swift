import CrossServerWire

/// What the servers of a cluster have answered together.
public struct ClusterAnswer<Value: Sendable>: Sendable {
    public var value: Value
    /// Servers whose part is not in it, and why. Servers of the original have no name here: they cannot answer.
    public var missing: [MissingReply]

    public init(value: Value, missing: [MissingReply] = []) {
        self.value = value
        self.missing = missing
    }

    public var isComplete: Bool { self.missing.isEmpty }
}

extension ClusterAnswer: Equatable where Value: Equatable {}

/// A connection of a client.
public struct SocketLocation: Sendable, Hashable {
    /// The name of the server.
    public var server: String
    /// Since when it has its id. In milliseconds, and by the clock of its server.
    public var connectedFor: Duration
}

// Questions to the whole cluster. Each asks every live server once, this one too; a server that has died is not waited for.
// Without a bus this server answers alone.
extension WebSocketCrossServerAdapter {
    /// Where clients with an id are connected, the youngest connection first. Empty when nobody is.
    ///
    /// - Throws: ``CrossServerError`` with `stopping` or `overloaded`; `CancellationError`.
    public func locate(_ id: String, timeout: Duration = .seconds(2)) async throws -> ClusterAnswer<[SocketLocation]> {
        let replies = try await self.cluster.requests.ask(ClusterQuestion.Locate(id: id), timeout: timeout)
        let locations = replies.replies.compactMap { server, reply in
            reply.age.map { SocketLocation(server: server, connectedFor: .milliseconds($0)) }
        }
        return ClusterAnswer(
            value: locations.sorted { ($0.connectedFor, $0.server) < ($1.connectedFor, $1.server) },
            missing: replies.missing
        )
    }

    /// Closes the connections of clients with an id on all servers.
    ///
    /// - Parameters:
    ///   - code: 4010 by default; see ``ClientSocket/close(_:reason:)``.
    ///   - reason: at most 123 bytes of UTF-8. The code's standard reason by default.
    /// - Returns: how many there were.
    /// - Throws: as ``locate(_:timeout:)``.
    public func disconnect(
        _ id: String,
        code: CloseCode = .forcedLogout,
        reason: String? = nil,
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<Int> {
        let question = ClusterQuestion.Disconnect(
            id: id,
            code: code.rawValue,
            reason: reason ?? code.standardReason
        )
        let replies = try await self.cluster.requests.ask(question, timeout: timeout)
        return ClusterAnswer(value: replies.replies.values.reduce(0) { $0 + $1.count }, missing: replies.missing)
    }

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

    /// What has become of the messages between the servers, by the server that has counted. Each counts since its start;
    /// of two that answer at different moments one may know of messages that the other has not sent yet.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterLedger(
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: DeliveryLedger]> {
        let replies = try await self.cluster.requests.ask(ClusterQuestion.Ledger(), timeout: timeout)
        return ClusterAnswer(value: replies.replies, missing: replies.missing)
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
