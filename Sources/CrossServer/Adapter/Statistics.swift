import Synchronization

extension WebSocketCrossServerAdapter {
    /// What a server holds now, and what it has counted since its start.
    public struct Statistics: Sendable, Hashable, Codable {
        /// Connections, from the accept until their `close` listeners have run.
        public var connections: Int
        /// Ids that are bound to a connection.
        public var boundIds: Int
        public var namespaces: Int
        public var rooms: Int
        public var messagesReceived: Int
        /// Messages handed to connections. One that went to a thousand clients counts a thousand times.
        public var messagesSent: Int
        /// Messages from clients that were no event and that no listener took.
        public var invalidMessages: Int
        /// Messages from clients over ``Limits/rate``.
        public var messagesOverRate: Int
        /// Messages to slow clients that ``Limits/outbound`` dropped.
        public var messagesDropped: Int
        /// Errors that handlers threw, other than ``RequestFailure`` in answer to a request.
        public var handlerFailures: Int
    }

    public var statistics: Statistics {
        let (boundIds, namespaces, rooms) = self.registry.withLock { registry in
            (
                registry.members.count, registry.namespaces.count,
                registry.namespaces.values.reduce(0) { $0 + $1.count }
            )
        }
        return Statistics(
            connections: self.connections.count,
            boundIds: boundIds,
            namespaces: namespaces,
            rooms: rooms,
            messagesReceived: self.loops.sum { $0.messagesReceived.load(ordering: .relaxed) },
            messagesSent: self.loops.sum { $0.messagesSent.load(ordering: .relaxed) },
            invalidMessages: self.loops.sum { $0.invalidMessages.load(ordering: .relaxed) },
            messagesOverRate: self.loops.sum { $0.messagesOverRate.load(ordering: .relaxed) },
            messagesDropped: self.loops.sum { $0.messagesDropped.load(ordering: .relaxed) },
            handlerFailures: self.loops.sum { $0.handlerFailures.load(ordering: .relaxed) }
        )
    }
}
