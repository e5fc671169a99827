import CrossServer
import CrossServerBus

extension WebSocketCrossServerAdapter {
    /// The handlers of `crossserver serve`.
    func addDemonstrationHandlers() {
        self.addClusterHandlers()
        self.addPresenceHandlers()
        self.onCrossServerEvent("echo") { event, reply in
            reply?(["echo": event.payload, "server": Payload(self.serverName)])
        }
        self.onCrossServerEvent("countRoom") { event, reply in
            guard let room = event.payload["roomId"]?.name else {
                throw RequestFailure.invalidPayload("roomId is missing")
            }
            let namespace = event.payload["namespace"]?.name ?? "chat"
            reply?(["count": Payload(self.socketCount(inRoom: room, in: namespace))])
        }
        self.onWebSocketEvent(.connection) { socket, request in
            guard let id = request.parameters["id"], !id.isEmpty else {
                throw ConnectionRejection(.authenticationFailed)
            }
            do {
                try self.setUserSocket(id, socket)?.close(.replacedByAnotherLogin)
            } catch let error as CrossServerError where error.code == .invalidName {
                throw ConnectionRejection(.authenticationFailed)
            }
        }
        self.onWebSocketEvent("echo") { _, payload, reply in
            reply?(payload)
        }
        self.onWebSocketEvent("say") { _, _, reply in
            reply?(["msg": Payload("\(self.serverName) heard you")])
        }
        self.onRoomEvent("joinRoom") { room, namespace, id in
            // Who has the reply misses nothing that is sent to the room from then on.
            switch try await self.joinRoom(room, in: namespace, id) {
            case .inForce: return "joined \(room)"
            case .pending: return "joined \(room); other servers cannot be reached now"
            }
        }
        self.onRoomEvent("leaveRoom") { room, namespace, id in
            self.leaveRoom(room, in: namespace, id) ? "left \(room)" : "you were not in \(room)"
        }
        self.onWebSocketEvent("command") { _, payload, reply in
            do throws(DemonstrationError) {
                try self.carryOut(payload)
                reply?(["msg": "done"])
            } catch {
                reply?(["error": Payload(error.message)])
            }
        }
    }

    private func onRoomEvent(
        _ event: String,
        _ change: @escaping @Sendable (_ room: String, _ namespace: String, _ id: String) async throws -> String
    ) {
        self.onWebSocketEvent(event) { socket, payload, reply async throws in
            guard let id = socket.id else { throw RequestFailure(code: "NO_ID", message: "this connection has no id") }
            guard let room = payload["roomId"]?.name, !room.isEmpty else {
                reply?(["error": "roomId is missing"])
                return
            }
            let namespace = payload["namespace"]?.name ?? "chat"
            do {
                let message = try await change(room, namespace, id)
                let members = self.socketCount(inRoom: room, in: namespace)
                reply?(["msg": Payload(message), "members": Payload(members)])
            } catch let error as CrossServerError {
                reply?(["error": Payload(error.message)])
            } catch let error as BusError {
                reply?(["error": Payload(error.message)])
            }
        }
    }

    private func carryOut(_ command: Payload) throws(DemonstrationError) {
        guard command.isObject else { throw DemonstrationError(message: "the payload must be an object") }
        let action = command["action"]?.string ?? ""
        let say: Payload = ["action": Payload(action), "msg": command["msg"] ?? .absent]
        do {
            switch action {
            case "broadcast":
                try self.broadcast("say", say)
            case "toPlayer":
                guard let id = command["toPlayerId"]?.name else { throw DemonstrationError.missing("toPlayerId") }
                try self.toSocketId(id, "say", say)
            case "toPlayers":
                guard let ids = command["toPlayerIds"]?.names else { throw DemonstrationError.missing("toPlayerIds") }
                try self.toSocketIds(ids, "say", say)
            case "toRoom":
                guard let room = command["roomId"]?.name else { throw DemonstrationError.missing("roomId") }
                try self.broadcastToRoom(
                    room,
                    in: command["namespace"]?.name ?? "chat",
                    "say",
                    say,
                    excluding: command["excludeSocketIds"]?.names ?? []
                )
            default:
                throw DemonstrationError(message: "unknown action")
            }
        } catch let error as DemonstrationError {
            throw error
        } catch {
            throw DemonstrationError(message: "\(error)")
        }
    }
}

private struct DemonstrationError: Error {
    var message: String

    static func missing(_ key: String) -> DemonstrationError {
        DemonstrationError(message: "\(key) is missing")
    }
}

extension Payload {
    /// A name or id: clients may send it as a string or as a number.
    var name: String? {
        if let string = self.string { return string }
        guard let first = self.json.utf8.first, first == UInt8(ascii: "-") || 0x30...0x39 ~= first else { return nil }
        return self.json
    }

    fileprivate var names: [String]? {
        self.array?.compactMap { $0.name }
    }
}
