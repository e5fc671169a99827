import CrossServer
import CrossServerBus

extension WebSocketCrossServerAdapter {
    /// The handlers that ask the whole cluster.
    func addClusterHandlers() {
        self.onWebSocketEvent("cluster") { _, _, reply in
            let servers = self.servers.map(\.payload)
            reply?(["servers": Payload(servers), "originalServers": Payload(self.originalServerCount)])
        }
        self.onWebSocketEvent("ledger") { _, _, reply async throws in
            reply?(try Payload(encoding: await self.deliveryLedger))
        }
        self.onClusterQuestion("whereIs") { payload in
            let answer = try await self.locate(payload.required("id"))
            let connections = answer.value.map { location -> Payload in
                ["server": Payload(location.server), "connectedFor": location.connectedFor.seconds]
            }
            return ["connections": Payload(connections), "missing": answer.missing.payload]
        }
        self.onClusterQuestion("kick") { payload in
            let answer = try await self.disconnect(payload.required("id"), reason: payload["reason"]?.string)
            return ["disconnected": Payload(answer.value), "missing": answer.missing.payload]
        }
        self.onClusterQuestion("countRoom") { payload in
            let answer = try await self.clusterSocketCount(inRoom: payload.required("roomId"), in: payload.namespace)
            return [
                "count": Payload(answer.value.values.reduce(0, +)),
                "servers": try Payload(encoding: answer.value),
                "missing": answer.missing.payload,
            ]
        }
        self.onClusterQuestion("roomMembers") { payload in
            let answer = try await self.clusterSocketIds(inRoom: payload.required("roomId"), in: payload.namespace)
            var members: [String: String] = [:]
            for (server, ids) in answer.value {
                for id in ids { members[id] = server }
            }
            return ["members": try Payload(encoding: members), "missing": answer.missing.payload]
        }
        // The client that asks can go on meanwhile.
        self.onWebSocketEvent("askClient", options: .concurrent) { socket, payload, reply in
            guard let reply else { return }
            let id = try payload.required("id")
            let question: Payload = ["text": payload["text"] ?? .absent]
            do {
                let answer = try await self.emit(toSocketId: id, "question", question, timeout: .seconds(30))
                reply(["answer": answer])
            } catch let error as RequestFailure {
                reply(["error": Payload(error.message)])
            } catch let error as CrossServerError {
                reply(["error": Payload(error.message)])
            }
        }
    }

    /// - Parameter answer: throws ``RequestFailure`` for a payload that is not as it must be.
    private func onClusterQuestion(
        _ event: String,
        answer: @escaping @Sendable (Payload) async throws -> Payload
    ) {
        self.onWebSocketEvent(event) { _, payload, reply async throws in
            do {
                reply?(try await answer(payload))
            } catch let error as CrossServerError {
                reply?(["error": Payload(error.message)])
            }
        }
    }
}

extension Payload {
    /// The name or id with the key.
    func required(_ key: String) throws(RequestFailure) -> String {
        guard let name = self[key]?.name, !name.isEmpty else { throw .invalidPayload("\(key) is missing") }
        return name
    }

    var namespace: String { self["namespace"]?.name ?? "chat" }
}

extension ClusterServer {
    fileprivate var payload: Payload {
        [
            "name": Payload(self.name),
            "uptime": self.uptime.seconds,
            "connections": Payload(self.connections),
            "rooms": Payload(self.rooms),
            "links": Payload(self.links.map { Payload($0) }),
            "self": Payload(self.isThisServer),
        ]
    }
}

extension [MissingReply] {
    var payload: Payload {
        Payload(
            self.map { missing in
                ["server": missing.server.map { Payload($0) } ?? .null, "reason": Payload("\(missing.reason)")]
            }
        )
    }
}

extension Duration {
    /// Whole seconds.
    fileprivate var seconds: Payload { Payload(Int(self.components.seconds)) }
}
