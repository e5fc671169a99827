import CrossServerWebSocket

/// A message on its way to connections of one event loop.
struct Delivery: Sendable {
    enum Target: Sendable {
        case socket(ClientSocket)
        /// The reply to a request of the connection, which nobody else can have.
        case requester(ClientSocket)
        /// Members of a room as they were when the message was sent.
        case members(ContiguousArray<ClientSocket>, excluding: Set<ObjectIdentifier>)
        /// Every connection of the loop.
        case all(WebSocketCrossServerAdapter.BroadcastReach)
    }

    let target: Target
    let message: EncodedMessage
}
