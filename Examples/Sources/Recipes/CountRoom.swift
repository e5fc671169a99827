import CrossServer

/// Asks a server for the members of a room that are connected to it. `crossserver serve` answers it too.
public struct CountRoom: Event {
    public static let name = "countRoom"
    public var namespace: String
    public var roomId: String

    public struct Reply: Codable, Sendable {
        public var count: Int
    }
}

extension WebSocketCrossServerAdapter {
    /// On every server.
    public func answerRoomCounts() {
        self.onCrossServerEvent(CountRoom.self) { room, _ in
            CountRoom.Reply(count: self.socketCount(inRoom: room.roomId, in: room.namespace))
        }
    }

    /// The members of a room on all servers, this one too.
    ///
    /// - Returns: the sum of those that answered, and those that did not.
    public func clusterCount(inRoom roomId: String, in namespace: String) async throws -> (Int, [MissingReply]) {
        let result = try await self.emitCrossServer(
            CountRoom(namespace: namespace, roomId: roomId),
            timeout: .seconds(2)
        )
        return (result.replies.values.reduce(0) { $0 + $1.count }, result.missing)
    }
}
