import CrossServerWebSocket
import NIOCore
import Synchronization

/// The event loops that have had a connection of this server.
final class LoopTable: Sendable {
    private let schedule: LoopConnections.Schedule
    private let maximumQueued: Int
    private let backlog = DeliveryBacklog()
    private let contexts = Mutex(Contexts())

    private struct Contexts {
        var all: [LoopContext] = []
        var byLoop: [ObjectIdentifier: LoopContext] = [:]
    }

    init(configuration: WebSocketCrossServerAdapter.Configuration) {
        self.schedule = LoopConnections.Schedule(
            pingInterval: TimeAmount(configuration.pingInterval),
            backgroundTimeout: TimeAmount(configuration.backgroundTimeout),
            handshakeTimeout: TimeAmount(configuration.limits.handshakeTimeout)
        )
        self.maximumQueued = configuration.limits.maximumQueuedDeliveries
    }

    var all: [LoopContext] { self.contexts.withLock { $0.all } }

    func context(for eventLoop: any EventLoop) -> LoopContext {
        self.contexts.withLock { contexts in
            if let context = contexts.byLoop[ObjectIdentifier(eventLoop)] { return context }
            let context = LoopContext(
                eventLoop: eventLoop,
                index: contexts.all.count,
                schedule: self.schedule,
                maximumQueued: self.maximumQueued,
                backlog: self.backlog
            )
            contexts.all.append(context)
            contexts.byLoop[ObjectIdentifier(eventLoop)] = context
            return context
        }
    }

    func sum(_ counter: (LoopCounters) -> Int) -> Int {
        self.all.reduce(0) { $0 + counter($1.counters) }
    }
}
