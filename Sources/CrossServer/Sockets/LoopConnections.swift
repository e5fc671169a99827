import CrossServerWebSocket
import NIOCore

/// The connections of one event loop, with everything that is due there at some time. Used on the loop only.
final class LoopConnections {
    /// The times that are checked, all of them by one task that repeats.
    struct Schedule: Sendable {
        var pingInterval: TimeAmount
        var backgroundTimeout: TimeAmount
        var handshakeTimeout: TimeAmount

        /// How often the deadlines are looked at: an eighth of the shortest, between 10 ms and 1 s.
        var tick: TimeAmount {
            let shortest = min(self.pingInterval, self.backgroundTimeout, self.handshakeTimeout)
            return .nanoseconds(min(max(shortest.nanoseconds / 8, 10_000_000), 1_000_000_000))
        }
    }

    let flusher: WebSocketFlusher
    private let counters: LoopCounters
    let requestDeadlines: RequestDeadlines
    private let eventLoop: any EventLoop
    private let schedule: Schedule
    private(set) var all: ContiguousArray<ClientConnection> = []
    private var handshakes: [ObjectIdentifier: (channel: any Channel, deadline: NIODeadline)] = [:]
    private var ticking: RepeatedTask?

    init(eventLoop: any EventLoop, schedule: Schedule, backlog: DeliveryBacklog, counters: LoopCounters) {
        self.eventLoop = eventLoop
        self.schedule = schedule
        self.counters = counters
        self.flusher = WebSocketFlusher(
            eventLoop: eventLoop,
            workPerTurn: WebSocketFlusher.defaultWorkPerTurn,
            backlog: backlog
        )
        self.requestDeadlines = RequestDeadlines(eventLoop: eventLoop)
    }

    /// Cuts the channel unless ``endHandshake(_:)`` is called in time.
    func beginHandshake(_ channel: any Channel) {
        self.handshakes[ObjectIdentifier(channel)] = (channel, self.eventLoop.now + self.schedule.handshakeTimeout)
        self.startTicking()
    }

    func endHandshake(_ channel: any Channel) {
        self.handshakes[ObjectIdentifier(channel)] = nil
        self.stopTickingIfIdle()
    }

    func add(_ connection: ClientConnection) {
        connection.position = self.all.count
        // The first pings are spread, so that clients that came together are not pinged together for ever.
        let jitter = Double.random(in: 0.75...1)
        let delay = TimeAmount.nanoseconds(Int64(Double(self.schedule.pingInterval.nanoseconds) * jitter))
        connection.nextPing = self.eventLoop.now + delay
        self.all.append(connection)
        LoopCounters.increment(self.counters.connections)
        self.startTicking()
    }

    func remove(_ connection: ClientConnection) {
        guard connection.position < self.all.count, self.all[connection.position] === connection else { return }
        self.all[connection.position] = self.all[self.all.count - 1]
        self.all[connection.position].position = connection.position
        self.all.removeLast()
        LoopCounters.add(-1, to: self.counters.connections)
        self.stopTickingIfIdle()
        guard self.all.isEmpty else { return }
        // Nothing looks after it any more, and what the last ones held is freed soon.
        let relief = connection.shared.memoryRelief
        self.eventLoop.scheduleTask(in: .seconds(1)) { relief.returnMemory() }
    }

    /// The connections that hold most memory.
    func largestHolders(_ maximum: Int) -> [MemoryRelief.Holder] {
        let holders = self.all.map { MemoryRelief.Holder(bytes: $0.heldBytes, socket: $0.socket) }
        return Array(holders.lazy.filter { $0.bytes > 0 }.sorted { $0.bytes > $1.bytes }.prefix(maximum))
    }

    func deliver(_ delivery: LocalDelivery) {
        self.flusher.spend(LocalDelivery.work(for: delivery.size(on: self.counters)))
        switch delivery.target {
        case .socket(let socket):
            socket.deliver(delivery.message)
        case .requester(let socket):
            socket.connection?.send(delivery.message)
        case .members(let members, let excluded):
            members.forEachPiece { members in
                for socket in members where excluded.isEmpty || !excluded.contains(ObjectIdentifier(socket)) {
                    socket.connection?.send(delivery.message)
                }
            }
        case .all(let reach):
            // A copy: sending can end a connection and change the array.
            let connections = self.all
            for connection in connections where reach == .everyConnection || connection.socket.id != nil {
                connection.send(delivery.message)
            }
        }
    }

    /// Ends the handshakes, and closes the connections with 1001 at a pace.
    func closeAll(perSecond pace: Int) {
        for (channel, _) in self.handshakes.values { channel.close(promise: nil) }
        self.close(self.all.map { $0.socket }[...], perSecond: pace, start: self.eventLoop.now, closed: 0)
    }

    private func close(_ sockets: ArraySlice<ClientSocket>, perSecond pace: Int, start: NIODeadline, closed: Int) {
        let elapsed = Double((self.eventLoop.now - start).nanoseconds) / 1_000_000_000
        let due = Int(elapsed * Double(pace)) + 1 - closed
        for socket in sockets.prefix(due) {
            socket.connection?.close(.goingAway, reason: "server stops")
        }
        let rest = sockets.dropFirst(due)
        guard !rest.isEmpty else { return }
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.eventLoop.scheduleTask(in: .milliseconds(10)) {
            bound.value.close(rest, perSecond: pace, start: start, closed: closed + due)
        }
    }

    /// Cuts every connection and cancels its handlers.
    func cutAll() {
        for (channel, _) in self.handshakes.values { channel.close(promise: nil) }
        let connections = self.all
        for connection in connections {
            connection.cancelHandlers()
            connection.terminate()
        }
    }

    private func startTicking() {
        guard self.ticking == nil else { return }
        // Loop-bound: the task runs on the loop that owns this object.
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let tick = self.schedule.tick
        self.ticking = self.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in bound.value.tick() }
    }

    /// An idle server has no timers, so that its event loops can be shut down.
    private func stopTickingIfIdle() {
        guard self.all.isEmpty, self.handshakes.isEmpty else { return }
        self.ticking?.cancel()
        self.ticking = nil
        self.requestDeadlines.stop()
    }

    private func tick() {
        let now = self.eventLoop.now
        for (channel, deadline) in self.handshakes.values where deadline <= now {
            channel.close(promise: nil)
        }
        let connections = self.all
        for connection in connections {
            connection.checkDeadlines(now: now, schedule: self.schedule)
        }
        connections.first?.relieveMemory()
    }
}
