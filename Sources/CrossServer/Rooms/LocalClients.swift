import CrossServerWebSocket
import NIOCore
import Synchronization

/// The clients of this server: who they are, which rooms they are in, and how a message gets to them.
///
/// A message is encoded once, whoever it goes to, and each event loop is told once.
final class LocalClients: Sendable {
    let sockets: ClientSockets
    private let reach: WebSocketCrossServerAdapter.BroadcastReach
    private let registry = Mutex(Registry<ClientSocket>())
    let roomChannels: RoomChannels
    private let watchedRoomsChanged = Mutex<(@Sendable (WatchedRooms.Due) -> Void)?>(nil)

    init(_ sockets: ClientSockets, _ roomChannels: RoomChannels) {
        self.sockets = sockets
        self.reach = sockets.configuration.broadcastReach
        self.roomChannels = roomChannels
    }

    /// What is told to other servers.
    var load: (connections: Int, rooms: Int) {
        let rooms = self.read { $0.namespaces.values.reduce(0) { $0 + $1.count } }
        return (self.sockets.connections.clients, rooms)
    }

    func read<Result>(_ body: (borrowing Registry<ClientSocket>) throws -> Result) rethrows -> Result {
        try self.registry.withLock { try body($0) }
    }

    func change<Result>(_ body: (inout Registry<ClientSocket>) throws -> sending Result) rethrows -> sending Result {
        let (result, rooms, due) = try self.registry.withLock { registry in
            let result = try body(&registry)
            return (result, registry.takeChangedRooms(), registry.watched.claimDue())
        }
        if !rooms.isEmpty { self.updateChannels(rooms) }
        if due.changes || due.counts { self.watchedRoomsChanged.withLock { $0 }?(due) }
        return result
    }

    /// Sets who is told, from any thread, that there is something to take from the rooms that are watched.
    func onWatchedRoomsChange(_ body: @escaping @Sendable (WatchedRooms.Due) -> Void) {
        self.watchedRoomsChanged.withLock { $0 = body }
    }

    /// Subscribes the channels of rooms, or releases them, as the rooms have members now or not.
    func updateChannels(_ rooms: [RoomName]) {
        self.roomChannels.changed(rooms) { namespace, room in
            self.read { registry in
                guard let rooms = registry.namespaces[namespace] else { return false }
                return room.map { rooms[$0] != nil } ?? true
            }
        }
    }

    /// - Returns: false when an event loop has too much to do already; its clients do not get the message.
    func broadcast(_ message: EncodedMessage) -> Bool {
        self.deliver(message) { _ in .all(self.reach) }
    }

    /// - Returns: false when an event loop has too much to do already; its clients do not get the message.
    func send(_ message: @autoclosure () -> EncodedMessage, to name: RoomName, excluding ids: [String], removing: Bool)
        -> Bool
    {
        let (members, excluded) = self.change { registry in
            let members = registry.room(name)?.membersByLoop ?? []
            let excluded = ids.compactMap { registry.members[$0] }
            if removing { registry.removeRoom(name) }
            return (members, Set(excluded.map { ObjectIdentifier($0) }))
        }
        guard !members.isEmpty else { return true }
        return self.deliver(message()) { loop in
            guard loop.index < members.count, !members[loop.index].isEmpty else { return nil }
            return .members(members[loop.index], excluding: excluded)
        }
    }

    private func deliver(_ message: EncodedMessage, to target: (LoopContext) -> LocalDelivery.Target?) -> Bool {
        var isTaken = true
        var deliveries = 0
        var own: LoopContext?
        // What one loop cannot take must not keep it from the others.
        for loop in self.sockets.loops.all {
            if loop.eventLoop.inEventLoop { own = loop }
            guard let target = target(loop) else { continue }
            let delivery = LocalDelivery(target: target, message: message)
            if loop !== own { deliveries += delivery.size(on: loop.counters) }
            if !loop.post(delivery) { isTaken = false }
        }
        // Who sends to many on other event loops has done as much as one who sends to many on his own.
        own?.connections.flusher.spend(LocalDelivery.work(for: deliveries))
        return isTaken
    }
}
