import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore

// Messages for clients, which may be connected to any server
extension ClusterNode {
    /// Sends a message to the clients of other servers.
    ///
    /// - Throws: ``CrossServerError`` with `busUnavailable`, `overloaded` or `messageTooLarge`. Nothing was sent then.
    func send(_ message: EncodedMessage, to scope: ClientMessage.Scope, removingRoom: Bool = false) throws {
        guard self.bus != nil else { return }
        if case .socket(let id) = scope { return try self.send(message, toClient: id) }
        let channel =
            switch scope {
            case .everyone: self.channels.everyone
            case .socket, .sockets: self.channels.clients
            case .room(let namespace, let room, _): self.channel(of: RoomName(namespace: namespace, room: room))
            }
        let message = ClientMessage(
            frame: message.payload,
            sender: self.name,
            scope: scope,
            route: removingRoom ? .removingRoom : nil
        )
        try self.publish(.clients(message), to: channel, completion: nil)
    }

    /// The channel on which every server with members of the room listens.
    private func channel(of room: RoomName) -> String {
        guard self.roomChannels.hasOnePerRoom, !self.mayHaveOriginalServers else {
            return self.channels.channel(ofNamespace: room.namespace)
        }
        return self.channels.channel(of: room)
    }

    func received(_ message: ClientMessage, on channel: String) {
        guard message.sender != self.name else { return }
        let isTaken: Bool
        switch message.scope {
        case .everyone:
            guard channel == self.channels.everyone else { return self.refusedScope(on: channel) }
            isTaken = self.clients.broadcast(EncodedMessage(text: message.frame))
        case .socket(let id):
            guard self.isForClients(channel), channel == self.inbox || message.route?.isForInbox != true else {
                return self.refusedScope(on: channel)
            }
            isTaken = self.received(message, for: id, message.route)
        case .sockets(let ids):
            guard self.isForClients(channel) else { return self.refusedScope(on: channel) }
            isTaken = self.send(message.frame, to: ids)
        case .room(let namespace, let room, let excluding):
            let name = RoomName(namespace: namespace, room: room)
            guard channel == self.channels.channel(ofNamespace: namespace) || channel == self.channels.channel(of: name)
            else { return self.refusedScope(on: channel) }
            isTaken = self.clients.send(
                EncodedMessage(text: message.frame),
                to: name,
                excluding: excluding,
                removing: message.route == .removingRoom
            )
        }
        ClusterCounters.increment(self.counters.clientMessagesReceived)
        if !isTaken {
            ClusterCounters.increment(self.counters.clientMessagesDropped)
            self.throttles.overload.log(self.logger, level: .warning, "messages for clients dropped: too many wait")
        }
    }

    private func send(_ frame: ByteBuffer, to ids: [String]) -> Bool {
        let sockets = self.clients.read { registry in Set(ids.compactMap { registry.members[$0] }) }
        guard !sockets.isEmpty else { return true }
        let message = EncodedMessage(text: frame)
        var isTaken = true
        for socket in sockets where !socket.post(message) { isTaken = false }
        return isTaken
    }

    private func isForClients(_ channel: String) -> Bool {
        channel == self.channels.clients || channel == self.inbox
    }

    private func refusedScope(on channel: String) {
        self.refused("a message for clients that this channel is not for", on: channel)
    }
}

extension ClientMessage.Route {
    /// Whether it is for one server only.
    fileprivate var isForInbox: Bool {
        if case .ask = self { false } else { true }
    }
}
