import CrossServer
import CrossServerRedis

/// Asks every server to use one more Redis node.
public struct AddRedisNode: Event {
    public static let name = "addRedisNode"
    /// As ``RedisNode/init(_:)`` takes it.
    public var url: String

    public init(url: String) {
        self.url = url
    }

    public struct Reply: Codable, Sendable {
        /// How many nodes the server uses now.
        public var nodeCount: Int
    }
}

extension WebSocketCrossServerAdapter {
    /// On every server.
    ///
    /// - Parameter admin: name of the only server that is obeyed.
    public func addRedisNodes(to bus: RedisBus, askedBy admin: String) {
        self.onCrossServerEvent(AddRedisNode.self) { event, sender in
            guard sender == admin else { throw RequestFailure(code: "FORBIDDEN", message: "\(sender) may not do that") }
            do {
                let node = try RedisNode(event.url)
                // Over a node that is there twice every message would come twice.
                if !bus.links.contains(where: { $0.name == node.name }) { _ = try bus.add(node) }
            } catch {
                throw RequestFailure(code: "INVALID_NODE", message: "\(error)")
            }
            return AddRedisNode.Reply(nodeCount: bus.nodeCount)
        }
    }
}
