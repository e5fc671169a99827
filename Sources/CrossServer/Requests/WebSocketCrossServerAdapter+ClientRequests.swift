import CrossServerBus
public import CrossServerWire

// Requests to a client that may be connected to any server
extension WebSocketCrossServerAdapter {
    /// Asks the client with the id and waits for its reply, as ``ClientSocket/emit(_:_:timeout:)``. When several servers have
    /// a client with the id, this one's is asked, or else that which has connected last.
    ///
    /// All servers are asked where the client is. With ``Configuration/Cluster-swift.struct/uniqueIds`` it is remembered.
    ///
    /// A client of a server of the original cannot be asked.
    ///
    /// - Parameter timeout: for all of it: finding the client, asking it, and the way back.
    /// - Throws: ``RequestFailure`` when the client answers with one; ``CrossServerError`` with `unknownSocket` when no
    ///   server has a client with the id, `timeout`, `socketClosed`, `overloaded`, `busUnavailable` or `stopping`;
    ///   `CancellationError`.
    @discardableResult
    public func emit(
        toSocketId id: String,
        _ event: String,
        _ payload: Payload = .absent,
        timeout: Duration
    ) async throws -> Payload {
        if let socket = self.socket(forID: id) { return try await socket.emit(event, payload, timeout: timeout) }
        let end = ContinuousClock.now + timeout
        if let server = self.cluster.remoteClients.knownHolder(of: id) {
            do {
                return try await self.ask(server, forSocketId: id, event, payload, timeout: timeout)
            } catch let error as CrossServerError where error.code == .unknownSocket {
                // It has gone, maybe to another server. It was not asked.
                self.cluster.remoteClients.remember(nil, asHolderOf: id)
            }
        }
        // Where an id is unique, the first to have it decides. It may have moved in that moment: then all are heard.
        let isUnique = self.configuration.cluster.uniqueIds != .perServer
        if isUnique {
            let server = try await self.holder(of: id, timeout: end - .now) { $0.age != nil }
            do {
                return try await self.ask(server, forSocketId: id, event, payload, timeout: end - .now)
            } catch let error as CrossServerError where error.code == .unknownSocket {
                self.cluster.remoteClients.remember(nil, asHolderOf: id)
            }
        }
        let server = try await self.holder(of: id, timeout: end - .now, until: nil)
        return try await self.ask(server, forSocketId: id, event, payload, timeout: end - .now)
    }

    /// The server of the youngest connection among the answers.
    ///
    /// - Throws: ``CrossServerError`` with `unknownSocket` when no server that lives has one.
    private func holder(
        of id: String,
        timeout: Duration,
        until isDecided: (@Sendable (ClusterQuestion.Locate.Reply) -> Bool)?
    ) async throws -> String {
        let question = ClusterQuestion.Locate(id: id)
        let answer = try await self.cluster.requests.ask(question, timeout: timeout, until: isDecided)
        let holders = answer.replies.compactMap { server, reply in reply.age.map { (age: $0, server: server) } }
        guard let server = holders.min(by: { ($0.age, $0.server) < ($1.age, $1.server) })?.server else {
            // Who has died has no clients any more.
            let silent = answer.missing.first { $0.server != nil && !$0.reason.meansGone }
            if let silent { throw Self.error(silent.reason) }
            throw CrossServerError(.unknownSocket, "no server has a client with the id \(id)")
        }
        self.cluster.remoteClients.remember(server, asHolderOf: id)
        return server
    }

    private func ask(
        _ server: String,
        forSocketId id: String,
        _ event: String,
        _ payload: Payload,
        timeout: Duration
    ) async throws -> Payload {
        let replies = try await self.cluster.requests.collect(
            ServerRequests.Request(
                event: ClusterQuestion.askClient,
                payload: [
                    "id": Payload(id), "event": Payload(event), "payload": payload,
                    "milliseconds": Payload(Int(clamping: timeout.milliseconds)),
                ],
                target: .server(server),
                exceptSelf: false,
                timeout: timeout,
                isSystem: true
            )
        )
        if let reply = replies.replies[server] { return reply["payload"] ?? .absent }
        throw Self.error(replies.missing.first?.reason ?? .timeout)
    }

    /// Asks the client with the id and waits for its reply.
    ///
    /// - Throws: `EncodingError`, `DecodingError` when the reply has another shape, or as above.
    @discardableResult
    public func emit<E: Event>(toSocketId id: String, _ event: E, timeout: Duration) async throws -> E.Reply {
        let reply = try await self.emit(toSocketId: id, E.name, Payload(encoding: event), timeout: timeout)
        if let none = NoReply() as? E.Reply { return none }
        return try reply.decode(E.Reply.self)
    }

    private static func error(_ reason: MissingReply.Reason) -> any Error {
        switch reason {
        case .failed(let code, let message):
            guard code.hasPrefix(ClusterQuestion.serverCode) else {
                return RequestFailure(code: code, message: message)
            }
            let code = String(code.dropFirst(ClusterQuestion.serverCode.count))
            return CrossServerError(.init(description: code), message)
        case .timeout: return CrossServerError(.timeout, "the client did not answer in time")
        case .stopped, .died, .suspected:
            return CrossServerError(.socketClosed, "the client's server has gone: \(reason)")
        case .stopping: return CrossServerError(.stopping, "the server is stopping")
        case .unreachable: return CrossServerError(.unreachable, "no link leads to the client's server")
        case .notSent, .outcomeUnknown, .invalidReply: return CrossServerError(.busUnavailable, "\(reason)")
        }
    }
}

extension MissingReply.Reason {
    /// Whether the server has no connections any more, for all that is known.
    fileprivate var meansGone: Bool {
        switch self {
        case .stopped, .died, .suspected: true
        default: false
        }
    }
}

extension ClusterServices {
    /// Another server asks a client of this one.
    func askClient(_ event: CrossServerEvent, _ reply: ServerReply?) throws {
        guard let id = event.payload["id"]?.string, let name = event.payload["event"]?.string,
            let milliseconds = event.payload["milliseconds"].flatMap({ Int64($0.json) }), milliseconds > 0
        else { throw RequestFailure.invalidPayload("a client is not asked in this way") }
        guard let socket = self.clients.read({ $0.members[id] }) else {
            reply?.fail(.server(CrossServerError(.unknownSocket, "the client is not connected any more")))
            return
        }
        let request = ClientRequest(name, event.payload["payload"] ?? .absent)
        socket.ask(request, timeout: .milliseconds(min(milliseconds, 86_400_000))) { result in
            switch result {
            case .success(let payload): reply?(["payload": payload])
            case .failure(let failure as RequestFailure): reply?.fail(failure)
            case .failure(let error as CrossServerError): reply?.fail(.server(error))
            case .failure: reply?.fail(.internalError)
            }
        }
    }
}

extension RequestFailure {
    /// What went wrong on the server, and not at the client.
    fileprivate static func server(_ error: CrossServerError) -> RequestFailure {
        RequestFailure(code: ClusterQuestion.serverCode + error.code.description, message: error.message)
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 {
        self.components.seconds * 1_000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
