import CrossServerWebSocket
import Synchronization

extension WebSocketCrossServerAdapter {
    public var statistics: Statistics {
        let (boundIds, namespaces, rooms) = self.clients.read { registry in
            (
                registry.members.count, registry.namespaces.count,
                registry.namespaces.values.reduce(0) { $0 + $1.count }
            )
        }
        return Statistics(
            connections: self.connections.count,
            lingeringClients: self.connections.lingeringCount,
            connectionsRefused: self.refusals.total,
            boundIds: boundIds,
            namespaces: namespaces,
            rooms: rooms,
            messagesReceived: self.loops.sum { $0.messagesReceived.load(ordering: .relaxed) },
            messagesSent: self.loops.sum { $0.messagesSent.load(ordering: .relaxed) },
            invalidMessages: self.loops.sum { $0.invalidMessages.load(ordering: .relaxed) },
            messagesOverRate: self.loops.sum { $0.messagesOverRate.load(ordering: .relaxed) },
            messagesDropped: self.loops.sum { $0.messagesDropped.load(ordering: .relaxed) },
            handlerFailures: self.loops.sum { $0.handlerFailures.load(ordering: .relaxed) },
            outstandingRequests: self.loops.sum { $0.outstandingRequests.load(ordering: .relaxed) },
            repliesIgnored: self.loops.sum { $0.repliesIgnored.load(ordering: .relaxed) },
            memory: .init(self.clientSockets.memoryRelief.budget),
            connectionsShed: self.clientSockets.memoryRelief.closed.load(ordering: .relaxed),
            cluster: self.cluster.statistics
        )
    }
}

extension WebSocketCrossServerAdapter.Statistics.Memory {
    fileprivate init(_ budget: MemoryBudget) {
        self.init(
            received: budget.bytes(of: .received),
            queued: budget.bytes(of: .queued),
            sending: budget.bytes(of: .sending),
            compression: budget.bytes(of: .compression)
        )
    }
}

extension ClusterServices {
    fileprivate var statistics: WebSocketCrossServerAdapter.Statistics.Cluster {
        let counters = self.transport.counters
        return .init(
            messagesSent: counters.eventsSent.load(ordering: .relaxed),
            eventsReceived: counters.eventsReceived.load(ordering: .relaxed),
            clientMessagesReceived: counters.clientMessagesReceived.load(ordering: .relaxed),
            clientMessagesDropped: counters.clientMessagesDropped.load(ordering: .relaxed),
            outstandingRequests: self.requests.pending.withLock { $0.table.count },
            repliesIgnored: counters.repliesIgnored.load(ordering: .relaxed),
            invalidMessages: counters.invalidMessages.load(ordering: .relaxed),
            handlersRefused: counters.handlersRefused.load(ordering: .relaxed),
            messagesNotSent: counters.messagesNotSent.load(ordering: .relaxed),
            handlerFailures: counters.handlerFailures.load(ordering: .relaxed)
        )
    }
}
