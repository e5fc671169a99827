import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

extension ClusterServices {
    /// Those that servers need not answer to which no client can be connected.
    private static let ofClients: Set<String> = [
        ClusterQuestion.Locate.name, ClusterQuestion.Disconnect.name, ClusterQuestion.Count.name,
        ClusterQuestion.Ids.name, ClusterQuestion.Reserve.name, ClusterQuestion.WatchRoom.name,
    ]

    /// A question of another server, or of this one.
    func answer(_ event: CrossServerEvent, _ reply: ServerReply?) {
        guard !self.transport.configuration.cluster.isObserver else {
            reply?.fail(RequestFailure(code: ServerEvents.observerCode, message: "no server"))
            return
        }
        // Who asks knows that it need not wait. But who watches a room is known when the first client comes.
        let isOfClients =
            Self.ofClients.contains(event.event) && event.event != ClusterQuestion.WatchRoom.name
        guard self.hasClients || event.sender == self.transport.name || !isOfClients else { return }
        if event.event == ClusterQuestion.WatchRoom.name || event.event == ClusterQuestion.UnwatchRoom.name {
            // There, so that the changes that follow an answer are sent behind it.
            return self.transport.eventLoop.execute {
                self.answer(event, reply) { try self.presence.answer(event, reply) }
            }
        }
        if event.event == ClusterQuestion.Ledger.name {
            return self.transport.eventLoop.execute {
                self.answer(event, reply) { try Payload(encoding: self.ledger()) }
            }
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
            self.transport.refused("\(event.event): \(error)", on: self.transport.channels.cluster)
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
            let isTaken = event.sender != self.transport.name && self.uniqueIds.isTaken(question.id, for: event.sender)
            return try Payload(encoding: ClusterQuestion.Reserve.Reply(isTaken: isTaken))
        case ClusterQuestion.Release.name:
            let message = try event.payload.decode(ClusterQuestion.Release.self)
            self.uniqueIds.released(message.id, by: event.sender)
            return nil
        case ClusterQuestion.Claim.name:
            self.uniqueIds.claimed(try event.payload.decode(ClusterQuestion.Claim.self), by: event.sender)
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
