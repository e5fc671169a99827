import CrossServerBus
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Where the clients of other servers are, and what this server has delivered to its own.
struct ClientRouting: Sendable {
    var locations: Locations
    var holdings = Holdings()
    /// Where clients were that have been asked something.
    var asked = RecentValues<String, Holder>(maximumCount: 100_000, lifetime: .seconds(60))

    init(_ courier: Courier?) {
        self.locations = Locations { courier?.withdraw($0) ?? .withdrawn }
    }
}

/// Messages for clients, which may be connected to any server: finds out which one holds a client, and hands on what comes
/// for those that are connected here.
final class RemoteClients: Sendable {
    let transport: Transport
    let servers: Servers
    let clients: LocalClients
    let routing: Mutex<ClientRouting>

    init(_ transport: Transport, _ servers: Servers, _ clients: LocalClients) {
        self.transport = transport
        self.servers = servers
        self.clients = clients
        self.routing = Mutex(ClientRouting(transport.courier))
    }

    /// Sends a message to the clients of other servers.
    ///
    /// - Parameter delivery: one that ``check(_:)`` has let pass.
    /// - Throws: ``CrossServerError`` with `busUnavailable`, `overloaded` or `messageTooLarge`. Nothing was sent then.
    func send(
        _ message: EncodedMessage,
        to scope: ClientMessage.Scope,
        removingRoom: Bool = false,
        delivery: WebSocketCrossServerAdapter.Configuration.Delivery = .ordered
    ) throws {
        guard self.transport.bus != nil else { return }
        let channel: String
        var audience = ""
        switch scope {
        case .everyone: channel = self.transport.channels.everyone
        case .socket(let id): return try self.send(message, toClients: [id])
        case .sockets(let ids): return try self.send(message, toClients: ids)
        case .room(let namespace, let room, _):
            channel = self.channel(of: RoomName(namespace: namespace, room: room))
            audience = room
        }
        let delivery = self.transport.delivery(delivery, for: audience)
        let message = ClientMessage(
            frame: message.payload,
            sender: self.transport.name,
            scope: scope,
            route: removingRoom ? .removingRoom : nil
        )
        try self.transport.publish(message, to: channel, delivery: delivery, completion: nil)
    }

    /// The channel on which every server with members of the room listens.
    private func channel(of room: RoomName) -> String {
        guard self.clients.roomChannels.hasOnePerRoom, !self.servers.roster.withLock({ $0.mayHaveOriginalServers })
        else {
            return self.transport.channels.channel(ofNamespace: room.namespace)
        }
        return self.transport.channels.channel(of: room)
    }

    /// - Parameter message: of another server.
    func received(_ message: ClientMessage, on channel: String) {
        let isTaken: Bool
        switch message.scope {
        case .everyone:
            guard channel == self.transport.channels.everyone else { return self.refusedScope(on: channel) }
            isTaken = self.clients.broadcast(EncodedMessage(text: message.frame))
        case .socket(let id):
            guard self.isForClients(channel), channel == self.transport.inbox || message.route?.isForInbox != true
            else {
                return self.refusedScope(on: channel)
            }
            isTaken = self.received(message, for: id, message.route)
        case .sockets(let ids):
            guard self.isForClients(channel) else { return self.refusedScope(on: channel) }
            isTaken = self.received(message, for: ids)
        case .room(let namespace, let room, let excluding):
            let name = RoomName(namespace: namespace, room: room)
            guard
                channel == self.transport.channels.channel(ofNamespace: namespace)
                    || channel == self.transport.channels.channel(of: name)
            else { return self.refusedScope(on: channel) }
            isTaken = self.clients.send(
                EncodedMessage(text: message.frame),
                to: name,
                excluding: excluding,
                removing: message.route == .removingRoom
            )
        }
        ClusterCounters.increment(self.transport.counters.clientMessagesReceived)
        if !isTaken {
            ClusterCounters.increment(self.transport.counters.clientMessagesDropped)
            self.transport.throttles.overload.log(
                self.transport.logger,
                level: .warning,
                "messages for clients dropped: too many wait"
            )
        }
    }

    private func received(_ message: ClientMessage, for ids: [String]) -> Bool {
        let sockets = self.clients.read { registry in
            ids.enumerated().compactMap { index, id in registry.members[id].map { (index, id, $0) } }
        }
        guard !sockets.isEmpty else { return true }
        let frame = EncodedMessage(text: message.frame)
        var told: Set<ClientSocket> = []
        var isTaken = true
        for (index, id, socket) in sockets where told.insert(socket).inserted {
            if case .ask(let first) = message.route {
                self.tell(message.sender, whoAsked: first + UInt64(index), of: socket, id)
            }
            if !socket.post(frame) { isTaken = false }
        }
        return isTaken
    }

    private func isForClients(_ channel: String) -> Bool {
        channel == self.transport.channels.clients || channel == self.transport.inbox
    }

    private func refusedScope(on channel: String) {
        self.transport.refused("a message for clients that this channel is not for", on: channel)
    }
}

extension ClientMessage.Route {
    /// Whether it is for one server only.
    fileprivate var isForInbox: Bool {
        if case .ask = self { false } else { true }
    }
}
