import CrossServerBus
import DequeModule

final class SimulatedRedis {
    let simulation: Simulation
    let number: Int
    var life = 1
    var isUp = true
    var isHung = false
    var pending: [(Connection, Connection.ToRedis)] = []
    var connections: [Connection] = []
    private var subscribers: [String: [Connection]] = [:]

    init(_ simulation: Simulation, _ number: Int) {
        self.simulation = simulation
        self.number = number
    }

    func process(_ connection: Connection, _ item: Connection.ToRedis) {
        switch item {
        case .subscribe(let channel):
            if !self.subscribers[channel, default: []].contains(where: { $0 === connection }) {
                self.subscribers[channel, default: []].append(connection)
                connection.subscribedAt[channel] = self.simulation.now
            }
            connection.reply(.subscribed(channel))
        case .unsubscribe(let channel):
            self.subscribers[channel]?.removeAll { $0 === connection }
            connection.subscribedAt[channel] = nil
        case .count(let life, let inbox, let askedAt):
            let count = (self.subscribers[inbox] ?? []).count { $0.isOpenThere }
            connection.reply(.counted(life, count, askedAt: askedAt))
        case .publish(let id, let channel, let packet):
            self.publish(packet, to: channel)
            connection.reply(.published(id))
        case .end:
            self.drop(connection)
        }
    }

    /// For how long a life of a server has been subscribed to its inbox, in microseconds.
    func hearingTime(of node: SimulatedNode) -> Int64 {
        let since = (self.subscribers[node.inbox] ?? []).filter(\.isOpenThere).compactMap {
            $0.subscribedAt[node.inbox]
        }
        return since.min().map { self.simulation.now - $0 } ?? 0
    }

    func publish(_ packet: Packet, to channel: String) {
        for subscriber in self.subscribers[channel] ?? [] where subscriber.isOpenThere {
            if case .bytes(let bytes) = packet, !DeliveryFrame.isFrame(bytes),
                self.simulation.chance(self.simulation.scenario.loss)
            {
                continue
            }
            subscriber.reply(.message(channel, packet))
        }
    }

    func drop(_ connection: Connection) {
        connection.isOpenThere = false
        for channel in self.subscribers.keys { self.subscribers[channel]?.removeAll { $0 === connection } }
        self.connections.removeAll { $0 === connection }
    }

    func kill() {
        guard self.isUp else { return }
        self.isUp = false
        self.isHung = false
        self.pending = []
        self.life += 1
        let connections = self.connections
        self.connections = []
        self.subscribers = [:]
        for connection in connections {
            connection.isOpenThere = false
            connection.reply(.end)
        }
    }

    /// Works off what came while it hung, in any order between connections.
    func resume() {
        guard self.isHung else { return }
        self.isHung = false
        var queues: [(connection: Connection, items: Deque<Connection.ToRedis>)] = []
        for (connection, item) in self.pending {
            if let index = queues.firstIndex(where: { $0.connection === connection }) {
                queues[index].items.append(item)
            } else {
                queues.append((connection, [item]))
            }
        }
        self.pending = []
        while !queues.isEmpty {
            let index = Int(self.simulation.random(0...Int64(queues.count - 1)))
            let connection = queues[index].connection
            if let item = queues[index].items.popFirst(), connection.isOpenThere { self.process(connection, item) }
            if queues[index].items.isEmpty { queues.remove(at: index) }
        }
    }
}
