import CrossServer

/// A client asks for a match. The server that it is connected to asks the logic server, whose answer goes to the client.
public struct MatchRequest: Event {
    public static let name = "matchRequest"
    public var mode: String

    public struct Reply: Codable, Sendable {
        public var roomID: String
    }
}

extension WebSocketCrossServerAdapter {
    /// On each server that clients connect to.
    public func forwardMatchRequests(to logicServer: String) {
        // A closure takes the reply, and so the client's next message does not wait for it.
        self.onWebSocketEvent(MatchRequest.name) { _, payload, reply in
            do {
                try self.emitCrossServer(
                    MatchRequest.name,
                    payload,
                    to: .server(logicServer),
                    timeout: .seconds(3)
                ) { response in
                    switch response {
                    case .reply(_, let match, _): reply?(match)
                    case .missing(let missing): reply?.fail(RequestFailure(missing))
                    }
                }
            } catch {
                throw RequestFailure(code: "NO_LOGIC_SERVER", message: "nothing could be sent: \(error)")
            }
        }
    }

    /// On the logic server, which needs no WebSocket side.
    public func answerMatchRequests(_ findRoom: @escaping @Sendable (_ mode: String) async throws -> String) {
        self.onCrossServerEvent(MatchRequest.self) { request, _ in
            MatchRequest.Reply(roomID: try await findRoom(request.mode))
        }
    }
}

extension RequestFailure {
    /// What a client is told when a server did not answer: the failure that it named, if it did.
    fileprivate init(_ missing: MissingReply) {
        if case .failed(let code, let message) = missing.reason {
            self.init(code: code, message: message)
        } else {
            self.init(code: "NO_LOGIC_SERVER", message: "\(missing.reason)")
        }
    }
}
