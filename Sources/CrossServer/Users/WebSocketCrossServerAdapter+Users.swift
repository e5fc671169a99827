import CrossServerWebSocket
import Synchronization

// Which user is behind which connection
extension WebSocketCrossServerAdapter {
    /// Binds an id to a connection, so that messages and rooms can name it.
    ///
    /// An id has one connection and a connection one id: a connection that had another id loses it, and the connection
    /// that held this id loses it. Rooms belong to the id; the new connection is in those of the old one. The binding ends
    /// by itself after the connection's `close` listeners have run, but never by the close of one that no longer holds
    /// the id.
    ///
    /// With ``Configuration/Cluster-swift.struct/uniqueIds`` the connections that hold the id on other servers are closed
    /// with 4012.
    ///
    /// - Parameter id: 1 to ``Limits/maximumNameLength`` bytes of UTF-8; unique in the cluster.
    /// - Returns: the connection of this server that held the id until now, to be closed or not.
    /// - Throws: ``CrossServerError`` with `invalidName` or `socketClosed`; `busUnavailable` or `overloaded` when the id is
    ///   bound but the other servers do not know; `invalidConfiguration` when ids that are taken are to be refused, for
    ///   which ``claimUserSocket(_:_:timeout:)`` has to ask.
    @discardableResult
    public func setUserSocket(_ id: String, _ socket: ClientSocket) throws -> ClientSocket? {
        switch self.configuration.cluster.uniqueIds {
        case .perServer: return try self.bind(id, to: socket)
        case .replacing:
            let previous = try self.bind(id, to: socket)
            try self.cluster.uniqueIds.claim(id, for: socket)
            return previous
        case .refusing:
            throw CrossServerError(.invalidConfiguration, "with uniqueIds = .refusing call claimUserSocket")
        }
    }

    /// Binds an id to a connection, as ``setUserSocket(_:_:)``. When ids that are taken are refused, asks all servers first.
    ///
    /// A server that does not answer in time is taken to have no client with the id.
    ///
    /// - Throws: ``CrossServerError`` with `idTaken`, or as ``setUserSocket(_:_:)``; `CancellationError`.
    @discardableResult
    public func claimUserSocket(
        _ id: String,
        _ socket: ClientSocket,
        timeout: Duration = .seconds(2)
    ) async throws -> ClientSocket? {
        guard self.configuration.cluster.uniqueIds == .refusing else { return try self.setUserSocket(id, socket) }
        try self.configuration.limits.checkName(id, "id")
        try await self.cluster.uniqueIds.reserve(id, timeout: timeout) { _ = try self.bind(id, to: socket) }
        return nil
    }

    private func bind(_ id: String, to socket: ClientSocket) throws -> ClientSocket? {
        try self.configuration.limits.checkName(id, "id")
        let previous: ClientSocket? = try self.clients.change { registry in
            guard socket.isOpen else { throw CrossServerError(.socketClosed, "the connection has ended already") }
            if let former = socket.id, former != id { _ = registry.release(former, heldBy: socket) }
            let previous = registry.bind(id, to: socket)
            previous?.id = nil
            socket.id = id
            return previous
        }
        self.cluster.remoteClients.clientConnected(id)
        return previous
    }

    /// Releases an id and takes it out of its rooms. The connection stays open.
    public func removeUserSocket(_ id: String) {
        self.clients.change { registry in
            registry.release(id)?.id = nil
        }
    }

    /// The connection that holds an id on this server.
    public func socket(forID id: String) -> ClientSocket? {
        self.clients.read { $0.members[id] }
    }

    /// Clients of this server, with or without an id, from the end of their handshake until their `close` listeners have
    /// run and their handlers have ended.
    public var socketClientCount: Int { self.connections.clients }

    /// The clients of this server that are connected now, with or without an id, in no order.
    ///
    /// Each event loop is asked in turn: who comes or goes meanwhile may be among them or not. To send something to all,
    /// ``broadcast(_:_:localOnly:delivery:)`` is cheaper.
    public var sockets: [ClientSocket] {
        get async {
            var sockets: [ClientSocket] = []
            for loop in self.loops.all { sockets += await loop.sockets() }
            return sockets
        }
    }

    /// The ids that are bound on this server.
    public var socketIds: [String] {
        self.clients.read { Array($0.members.keys) }
    }

    /// Releases the id of a connection that has ended, if it has one yet.
    func release(_ socket: ClientSocket) {
        self.clients.change { registry in
            guard let id = socket.id else { return }
            _ = registry.release(id, heldBy: socket)
        }
    }
}
