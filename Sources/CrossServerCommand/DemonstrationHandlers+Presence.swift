import CrossServer
import CrossServerWire
import Logging

extension WebSocketCrossServerAdapter {
    /// The handlers that tell clients who comes into a room and who leaves it, on whichever server.
    func addPresenceHandlers() {
        self.onWebSocketEvent("watchRoom") { socket, payload, reply async throws in
            let room = WatchedRoom(id: try payload.required("roomId"), namespace: payload.namespace)
            let watched = socket[WatchedRooms.self] ?? [:]
            guard watched[room] != nil || watched.count < WatchedRooms.limit else {
                reply?(["error": "too many rooms are watched"])
                return
            }
            do {
                let presence = try await self.presence(ofRoom: room.id, in: room.namespace)
                presence.onChange { [weak socket] change in
                    guard let socket, socket.isOpen else { return }
                    do {
                        try socket.emit("presence", room.payload(of: change))
                    } catch {
                        self.logger.debug("a change of a room was not told", metadata: ["error": "\(LogText(error))"])
                    }
                }
                socket.update(WatchedRooms.self) { $0.put(presence, for: room) }?.cancel()
                reply?(["members": try Payload(encoding: presence.members), "missing": presence.missing.payload])
            } catch let error as CrossServerError {
                reply?(["error": Payload(error.message)])
            }
        }
        self.onWebSocketEvent("unwatchRoom") { socket, payload, reply in
            let room = WatchedRoom(id: try payload.required("roomId"), namespace: payload.namespace)
            socket.update(WatchedRooms.self) { $0.put(nil, for: room) }?.cancel()
            reply?([:])
        }
        self.onWebSocketEvent(.close) { socket, _, _, _ in
            for presence in (socket[WatchedRooms.self] ?? [:]).values { presence.cancel() }
            socket[WatchedRooms.self] = nil
        }
    }
}

private struct WatchedRoom: Hashable, Sendable {
    var id: String
    var namespace: String

    func payload(of change: PresenceChange) throws -> Payload {
        [
            "roomId": Payload(self.id),
            "namespace": Payload(self.namespace),
            "joined": try Payload(encoding: change.joined),
            "moved": change.moved.isEmpty ? .absent : try Payload(encoding: change.moved),
            "left": Payload(change.left.map { Payload($0) }),
            "count": Payload(change.count),
        ]
    }
}

/// The rooms that a client watches.
private enum WatchedRooms: ClientSocketKey {
    static let limit = 16
    typealias Value = [WatchedRoom: RoomPresence]
}

extension [WatchedRoom: RoomPresence]? {
    /// - Returns: what was there before.
    fileprivate mutating func put(_ presence: RoomPresence?, for room: WatchedRoom) -> RoomPresence? {
        var rooms = self ?? [:]
        defer { self = rooms }
        let previous = rooms[room]
        rooms[room] = presence
        return previous
    }
}
