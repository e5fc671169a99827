import CrossServerBus
import CrossServerWire
import Synchronization

extension ServerRequests {
    /// Asks all our servers, this one too.
    ///
    /// - Parameter isDecided: whether an answer makes those that are outstanding needless.
    /// - Returns: what each answered, and who did not: those of the original cannot.
    func ask<Question: ServerQuestion>(
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
            isSystem: true,
            concernsClients: Question.concernsClients
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
    private func adding<Answer: Decodable & Sendable>(
        originalsTo payloads: CrossServerReplies<Payload>
    ) -> CrossServerReplies<Answer> {
        var replies = payloads.decoded(Answer.self)
        let originals = self.servers.roster.withLock { $0.originalServerCount }
        let reason = MissingReply.Reason.notSent("a server of the original cannot answer")
        replies.missing += Array(repeating: MissingReply(server: nil, reason: reason), count: originals)
        return replies
    }
}

extension CrossServerReplies<Payload> {
    /// A reply that does not decode counts as missing.
    func decoded<Answer: Decodable & Sendable>(_ type: Answer.Type) -> CrossServerReplies<Answer> {
        var typed = CrossServerReplies<Answer>(missing: self.missing)
        for (server, payload) in self.replies {
            do {
                typed.replies[server] = try payload.decode(Answer.self)
            } catch {
                typed.missing.append(MissingReply(server: server, reason: .invalidReply("\(error)")))
            }
        }
        return typed
    }
}
