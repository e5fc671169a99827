import CrossServerWebSocket
import Synchronization

/// A message on its way to connections of one event loop.
struct LocalDelivery: Sendable {
    enum Target: Sendable {
        case socket(ClientSocket)
        /// The reply to a request of the connection, which nobody else can have.
        case requester(ClientSocket)
        /// Members of a room as they were when the message was sent.
        case members(MemberList<ClientSocket>, excluding: Set<ObjectIdentifier>)
        /// Every connection of the loop.
        case all(WebSocketCrossServerAdapter.BroadcastReach)
    }

    let target: Target
    let message: EncodedMessage

    /// How many connections get it, about.
    ///
    /// - Parameter counters: of the event loop.
    func size(on counters: LoopCounters) -> Int {
        switch self.target {
        case .socket, .requester: 1
        case .members(let members, _): members.count
        case .all: counters.connections.load(ordering: .relaxed)
        }
    }

    /// The work of so many deliveries, in the unit of a turn: to queue a message that is encoded costs an eighth of handling
    /// a small one, or less.
    static func work(for deliveries: Int) -> Int { deliveries >> 3 }
}
