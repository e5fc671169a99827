import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// The connections of this server's clients, with what they share: the application's listeners, the bounds, and what is counted
/// of all of them.
final class ClientSockets: Sendable {
    /// What the server does for a connection. It lives for as long as one of them.
    protocol Owner: AnyObject, Sendable {
        /// Whether it takes nothing new.
        var isStopping: Bool { get }
        /// The client has left: its id is free.
        func release(_ socket: ClientSocket)
        /// Who handed over the connection waits for the end of all.
        func quiesce()
    }

    let configuration: WebSocketCrossServerAdapter.Configuration
    let logger: Logger
    let heartbeat: ByteBuffer?
    let throttles = LogThrottles()
    let loops: LoopTable
    let connections: ConnectionTable
    let memoryRelief: MemoryRelief
    private let listenerTable = Mutex(Listeners())

    init(_ configuration: WebSocketCrossServerAdapter.Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        self.heartbeat = configuration.heartbeat.map { ByteBuffer(string: $0) }
        self.loops = LoopTable(configuration: configuration)
        self.connections = ConnectionTable(limits: configuration.limits)
        self.memoryRelief = MemoryRelief(
            budget: MemoryBudget(limit: configuration.limits.maximumMemory),
            loops: self.loops,
            logger: logger
        )
    }

    func listeners<Result>(_ body: (Listeners) -> Result) -> Result {
        self.listenerTable.withLock { body($0) }
    }

    /// What is let go of is destroyed behind the lock: a closure's objects are the application's, and so is what they do
    /// at their end.
    func changeListeners(_ body: (inout Listeners) -> Void) {
        let former = self.listenerTable.withLock { listeners in
            let former = listeners
            body(&listeners)
            return former
        }
        withExtendedLifetime(former) {}
    }

    /// Whether the listener may run now. One that runs once is removed before it does.
    func claim<Arguments>(_ listener: Listener<Arguments>) -> Bool {
        guard listener.claim() else { return false }
        if listener.isOnce { self.changeListeners { $0.removeSpent() } }
        return true
    }

    var hasMessageListeners: Bool { self.listeners { !$0.system.message.isEmpty } }
}
