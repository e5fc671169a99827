import CrossServerWire

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
}
