import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

extension ClusterNode {
    /// Asks all our servers, this one too.
    ///
    /// - Parameter isDecided: whether an answer makes those that are outstanding needless.
    /// - Returns: what each answered, and who did not: those of the original cannot.
    func ask<Question: Event>(
        _ question: Question,
        timeout: Duration,
        until isDecided: (@Sendable (Question.Reply) -> Bool)? = nil
    ) async throws -> CrossServerReplies<Question.Reply> {
        let request = Request(
            event: Question.name,
            payload: try Payload(encoding: question),
            target: .all,
            exceptSelf: false,
            timeout: timeout,
            isSystem: true
        )
        guard let isDecided else { return self.adding(originalsTo: try await self.collect(request)) }
        try Task.checkCancellation()
        // Bounded by the servers that may answer.
        let (responses, continuation) = AsyncStream<CrossServerResponse<Payload>>.makeStream()
        let number = try self.request(request, .stream(continuation))
        defer { self.cancel(number) }
        var replies = CrossServerReplies<Payload>()
        for await response in responses {
            switch response {
            case .missing(let missing): replies.missing.append(missing)
            case .reply(let server, let payload, _):
                replies.replies[server] = payload
                // An answer that cannot be read decides nothing, and counts as missing.
                if let reply = try? payload.decode(Question.Reply.self), isDecided(reply) {
                    return replies.decoded(Question.Reply.self)
                }
            }
        }
        try Task.checkCancellation()
        return self.adding(originalsTo: replies)
    }

    /// Those of the original have not answered.
    private func adding<Reply: Decodable & Sendable>(
        originalsTo payloads: CrossServerReplies<Payload>
    ) -> CrossServerReplies<Reply> {
        var replies = payloads.decoded(Reply.self)
        let originals = self.roster.withLock { $0.originalServerCount }
        let reason = MissingReply.Reason.notSent("a server of the original cannot answer")
        replies.missing += Array(repeating: MissingReply(server: nil, reason: reason), count: originals)
        return replies
    }

    /// Tells all our other servers something that nobody answers.
    func tell<Message: Event>(_ message: Message) throws {
        guard self.bus != nil else { return }
        let event = CrossServerEvent(event: Message.name, sender: self.name, payload: try Payload(encoding: message))
        try self.publish(event, to: self.channels.cluster, completion: nil)
    }

    /// A question of another server, or of this one.
    func answer(_ event: CrossServerEvent, _ reply: ServerReply?) {
        guard !self.configuration.cluster.isObserver else {
            reply?.fail(RequestFailure(code: Self.observerCode, message: "no server"))
            return
        }
        // Who asks knows that it need not wait. But who watches a room is known when the first client comes.
        let isOfClients =
            ClusterQuestion.ofClients.contains(event.event) && event.event != ClusterQuestion.WatchRoom.name
        guard self.hasClients || event.sender == self.name || !isOfClients else { return }
        if event.event == ClusterQuestion.WatchRoom.name || event.event == ClusterQuestion.UnwatchRoom.name {
            // There, so that the changes that follow an answer are sent behind it.
            return self.eventLoop.execute { self.answer(event, reply) { try self.answerWatcher(event, reply) } }
        }
        if event.event == ClusterQuestion.Ledger.name {
            return self.eventLoop.execute { self.answer(event, reply) { try Payload(encoding: self.ledger()) } }
        }
        self.answer(event, reply) {
            guard event.event != ClusterQuestion.askClient else {
                try self.askClient(event, reply)
                return nil
            }
            return try self.answer(event)
        }
    }

    private func answer(_ event: CrossServerEvent, _ reply: ServerReply?, _ body: () throws -> Payload?) {
        do {
            guard let answer = try body() else { return }
            reply?(answer)
        } catch {
            self.refused("\(event.event): \(error)", on: self.channels.cluster)
            reply?.fail(.invalidPayload("\(event.event) is not understood"))
        }
    }

    /// - Returns: nil when there is nothing to say.
    private func answer(_ event: CrossServerEvent) throws -> Payload? {
        switch event.event {
        case ClusterQuestion.Locate.name:
            let question = try event.payload.decode(ClusterQuestion.Locate.self)
            let boundAt = self.clients.read { $0.members[question.id]?.boundAt }
            let age = boundAt.map { Int((NIODeadline.now() - $0).nanoseconds / 1_000_000) }
            return try Payload(encoding: ClusterQuestion.Locate.Reply(age: age))
        case ClusterQuestion.Disconnect.name:
            let question = try event.payload.decode(ClusterQuestion.Disconnect.self)
            let socket = self.clients.read { $0.members[question.id] }
            socket?.close(CloseCode(rawValue: question.code), reason: question.reason)
            return try Payload(encoding: ClusterQuestion.Disconnect.Reply(count: socket == nil ? 0 : 1))
        case ClusterQuestion.Count.name:
            let question = try event.payload.decode(ClusterQuestion.Count.self)
            return try Payload(encoding: ClusterQuestion.Count.Reply(count: self.clients.count(question.selection)))
        case ClusterQuestion.Ids.name:
            let question = try event.payload.decode(ClusterQuestion.Ids.self)
            return try Payload(encoding: ClusterQuestion.Ids.Reply(ids: self.clients.ids(question.selection)))
        case ClusterQuestion.Reserve.name:
            let question = try event.payload.decode(ClusterQuestion.Reserve.self)
            let isTaken = event.sender != self.name && self.isTaken(question.id, for: event.sender)
            return try Payload(encoding: ClusterQuestion.Reserve.Reply(isTaken: isTaken))
        case ClusterQuestion.Release.name:
            let message = try event.payload.decode(ClusterQuestion.Release.self)
            self.uniqueIds.withLock { $0.release(message.id, by: event.sender) }
            return nil
        case ClusterQuestion.Claim.name:
            self.claimed(try event.payload.decode(ClusterQuestion.Claim.self), by: event.sender)
            return nil
        case ClusterQuestion.RemoveRoom.name:
            let message = try event.payload.decode(ClusterQuestion.RemoveRoom.self)
            self.clients.change { $0.removeRoom(RoomName(namespace: message.namespace, room: message.room)) }
            return nil
        default:
            throw RequestFailure(code: "UNKNOWN_EVENT", message: "no such question")
        }
    }
}

extension CrossServerReplies<Payload> {
    /// A reply that does not decode counts as missing.
    func decoded<Reply: Decodable & Sendable>(_ type: Reply.Type) -> CrossServerReplies<Reply> {
        var typed = CrossServerReplies<Reply>(missing: self.missing)
        for (server, payload) in self.replies {
            do {
                typed.replies[server] = try payload.decode(Reply.self)
            } catch {
                typed.missing.append(MissingReply(server: server, reason: .invalidReply("\(error)")))
            }
        }
        return typed
    }
}

extension LocalClients {
    func count(_ selection: ClusterQuestion.Selection) -> Int {
        self.read { registry in
            guard let namespace = selection.namespace else { return registry.members.count }
            let rooms = registry.namespaces[namespace] ?? [:]
            if let room = selection.room, !selection.isPrefix { return rooms[room]?.count ?? 0 }
            return registry.ids(in: rooms, matching: selection).count
        }
    }

    func ids(_ selection: ClusterQuestion.Selection) -> Set<String> {
        self.read { registry in
            guard let namespace = selection.namespace else { return Set(registry.members.keys) }
            return registry.ids(in: registry.namespaces[namespace] ?? [:], matching: selection)
        }
    }
}

extension Registry {
    fileprivate func ids(in rooms: [String: Room], matching selection: ClusterQuestion.Selection) -> Set<String> {
        guard let room = selection.room else { return Set(rooms.values.flatMap { $0.ids }) }
        let match = selection.isPrefix ? NameMatch.prefix : .exact
        return Set(rooms.filter { match($0.key, room) }.flatMap { $0.value.ids })
    }
}
