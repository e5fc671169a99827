import CrossServerBus
import CrossServerWire
import Logging
import Synchronization

extension ServerRequests: ServerReply.Answerer {
    /// Sends the answer to a request.
    func answer(_ requester: ServerReply.Requester, _ payload: Payload, failure: RequestFailure?) {
        let error = failure.map { ["code": Payload($0.code), "message": Payload($0.message)] as Payload }
        switch requester {
        case .local(let number):
            self.answered(number, by: self.transport.name, payload, error: error)
        case .remote(let remote):
            let reply = CrossServerReply(
                sender: self.transport.name,
                callbackID: remote.callbackID,
                payload: payload,
                error: error
            )
            do {
                try self.send(reply, to: remote)
            } catch let problem as BusMessageError where failure == nil {
                self.transport.throttles.notSent.log(self.transport.logger, level: .error, "\(problem)")
                let failure = RequestFailure(code: "INVALID_REPLY", message: "the reply cannot be sent")
                self.answer(requester, ["error": Payload(failure.message)], failure: failure)
            } catch {
                ClusterCounters.increment(self.transport.counters.messagesNotSent)
                self.transport.throttles.notSent.log(self.transport.logger, level: .notice, "reply not sent: \(error)")
            }
        }
    }

    private func send(_ reply: CrossServerReply, to remote: ServerReply.Remote) throws {
        // A server of ours has a channel of its own; an original one hears the bridge alone.
        guard let id = RequestID(remote.callbackID), let incarnation = UInt64(id.incarnation, radix: 36) else {
            return try self.transport.publish(
                reply,
                as: remote.encoding,
                to: self.transport.channels.bridge,
                over: remote.link,
                completion: nil
            )
        }
        let known = self.servers.roster.withLock { $0.inboxes[remote.server] }
        let inbox =
            known.flatMap { $0.incarnation == incarnation ? $0.channel : nil }
            ?? self.transport.channels.inbox(of: remote.server, incarnation: id.incarnation)
        try self.transport.publish(reply, as: remote.encoding, to: inbox, audience: incarnation, completion: nil)
    }
}
