import HeapModule
import NIOCore
import Synchronization

@testable import CrossServerBus

/// Servers that send messages to clients which move among them, over streams that keep their order and overtake each
/// other. Each run follows from its seed.
struct LocationsSimulation {
    struct Options {
        var servers = 4
        var ids = 3
        /// Milliseconds.
        var duration: Int64 = 20_000
        var latency: ClosedRange<Int64> = 0...40
        var session: ClosedRange<Int64> = 5...3_000
        var gap: ClosedRange<Int64> = 0...300
        /// Between the messages of one server.
        var pause: ClosedRange<Int64> = 0...60
        var burst: ClosedRange<Int> = 1...4
        var deaths = 0
        /// What a sender learns of a message to the inbox of a server that has died.
        var outcome = Outcome.sentBack
        /// From a server's death until the others know it.
        var leftAfter: Int64 = 300
        /// How often some server's inbox is heard by nobody for a while. It asks for what it has missed.
        var deafness = 0
        var deafTime: ClosedRange<Int64> = 50...1_500
        /// Clients connect elsewhere without a word to the server before, which hears of it from the new one.
        var replaces = false
        /// How long messages go to all, and then not.
        var toAll: Int64?
        var limits = Locations.Limits()
    }

    enum Outcome {
        /// As where messages have no numbers.
        case sentBack
        /// That nobody has heard it.
        case unheard
        /// Nothing, as when the machine has died with the server.
        case none
    }

    struct Message: Hashable {
        var sender: Int
        var id: String
        var number: Int
    }

    struct Session {
        var server: Int
        var start: Int64
        var end: Int64
        var delivered: [Message] = []
    }

    private struct Server {
        var locations: Locations
        var holdings = Holdings()
        var isAlive = true
        var deafUntil: Int64 = 0
        var holder: Holder
        /// The sessions of the clients that are connected.
        var clients: [String: Int] = [:]
    }

    private enum Step {
        case connect(String)
        case disconnect(String)
        case send(Int)
        case tick
        case die(Int)
        case left(Int)
        case deafen(Int)
        /// A server has asked Redis who hears the inbox of another one, or that one has spoken.
        case counted(Int, by: Int)
        case arrive(at: Int, from: Int, Letter)
    }

    private enum Channel {
        case inbox, shared, logins, outcomes
    }

    private enum Letter {
        case login(String, session: Int)
        case shared(Message, ask: UInt64?)
        case inbox(Message, epoch: UInt64, number: UInt64, DeliveryTicket)
        case unheard(Message, epoch: UInt64, number: UInt64, DeliveryTicket)
        case delivered(String, ask: UInt64, connectedFor: TimeAmount)
        case refused(Message, epoch: UInt64, number: UInt64)
    }

    private struct Scheduled: Comparable {
        var time: Int64
        var order: Int
        var step: Step

        static func == (left: Self, right: Self) -> Bool { left.order == right.order }
        static func < (left: Self, right: Self) -> Bool { (left.time, left.order) < (right.time, right.order) }
    }

    private struct Stream: Hashable {
        var from: Int
        var to: Int
        var channel: Channel
    }

    /// What may still come to the inboxes.
    private final class Inboxes: Sendable {
        struct State {
            var arrived: Set<DeliveryTicket> = []
            var withdrawn: Set<DeliveryTicket> = []
        }

        let state = Mutex(State())

        func withdraw(_ ticket: DeliveryTicket) -> Withdrawal {
            self.state.withLock { state in
                guard !state.arrived.contains(ticket) else { return .repeated }
                state.withdrawn.insert(ticket)
                return .withdrawn
            }
        }

        /// - Returns: false when it was withdrawn.
        func arrive(_ ticket: DeliveryTicket) -> Bool {
            self.state.withLock { state in
                guard !state.withdrawn.contains(ticket) else { return false }
                state.arrived.insert(ticket)
                return true
            }
        }
    }

    let options: Options
    private let inboxes = Inboxes()
    private var random: SplitMix
    private var servers: [Server]
    private var steps = Heap<Scheduled>()
    private var order = 0
    private var now: Int64 = 0
    private var arrivals: [Stream: Int64] = [:]
    private(set) var sessions: [String: [Session]] = [:]
    private(set) var sent: [(message: Message, time: Int64)] = []
    /// Lost with the server that they were on the way to, or refused at the call.
    private(set) var excused: Set<Message> = []
    private(set) var deaths: [Int: Int64] = [:]
    /// Messages of which the sender has learned that nobody has heard them, and how many it has reported as lost.
    private(set) var unheard: Set<Message> = []
    private(set) var reported: [String: Int] = [:]
    private(set) var sharedCount = 0
    private(set) var inboxCount = 0
    private(set) var lateCount = 0
    private(set) var waitingCount = 0

    init(seed: UInt64, options: Options = Options()) {
        self.options = options
        self.random = SplitMix(state: seed)
        let inboxes = self.inboxes
        self.servers = (0..<options.servers).map { index in
            Server(
                locations: Locations(limits: options.limits, start: 1) { inboxes.withdraw($0) },
                holder: Holder(name: "\(index)", incarnation: "i")
            )
        }
    }

    mutating func run() {
        for index in 0..<self.options.ids { self.schedule(self.pick(self.options.gap), .connect("c\(index)")) }
        for index in self.servers.indices { self.schedule(self.pick(self.options.pause), .send(index)) }
        for _ in 0..<self.options.deaths {
            self.schedule(self.pick(0...self.options.duration), .die(Int(self.pick(1...Int64(self.servers.count - 1)))))
        }
        for _ in 0..<self.options.deafness {
            self.schedule(
                self.pick(0...self.options.duration),
                .deafen(Int(self.pick(0...Int64(self.servers.count - 1))))
            )
        }
        self.schedule(100, .tick)
        while let next = self.steps.popMin() {
            self.now = next.time
            self.perform(next.step)
        }
        self.lateCount = self.servers.reduce(0) { $0 + $1.locations.lateRefusals }
        self.waitingCount = self.servers.filter(\.isAlive).reduce(0) { $0 + $1.locations.heldMessages }
    }

    private var time: NIODeadline { .uptimeNanoseconds(UInt64(self.now + 1_000_000) * 1_000_000) }

    private mutating func pick(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &self.random) }

    private mutating func schedule(_ delay: Int64, _ step: Step) {
        self.order += 1
        self.steps.insert(Scheduled(time: self.now + delay, order: self.order, step: step))
    }

    private mutating func perform(_ step: Step) {
        switch step {
        case .connect(let id): self.connect(id)
        case .disconnect(let id): self.disconnect(id)
        case .send(let sender):
            guard self.servers[sender].isAlive, self.now < self.options.duration else { return }
            let id = "c\(self.pick(0...Int64(self.options.ids - 1)))"
            for _ in 0..<Int.random(in: self.options.burst, using: &self.random) { self.send(from: sender, to: id) }
            self.schedule(self.pick(self.options.pause), .send(sender))
        case .tick:
            for index in self.servers.indices where self.servers[index].isAlive {
                self.dispatch(self.servers[index].locations.tick(now: self.time), from: index)
            }
            if self.now < self.options.duration + 12_000 { self.schedule(100, .tick) }
        case .die(let index):
            guard self.servers[index].isAlive else { return }
            self.servers[index].isAlive = false
            self.deaths[index] = self.now
            for id in self.servers[index].clients.keys.sorted() { self.disconnect(id) }
            self.schedule(self.options.leftAfter, .left(index))
        case .left(let dead):
            // Nobody can tell whether it has died.
            guard !self.isHeard(dead) else { return }
            let holder = self.servers[dead].holder
            for index in self.servers.indices where self.servers[index].isAlive {
                self.dispatch(self.servers[index].locations.serverLeft(holder, now: self.time), from: index)
            }
        case .deafen(let index):
            self.servers[index].deafUntil = max(
                self.servers[index].deafUntil,
                self.now + self.pick(self.options.deafTime)
            )
            self.schedule(self.options.leftAfter, .left(index))
        case .counted(let index, let sender):
            guard self.servers[sender].isAlive,
                self.deaths[index].map({ self.now - $0 < self.options.leftAfter }) ?? true
            else { return }
            let holder = self.servers[index].holder
            if self.isHeard(index) {
                self.dispatch(self.servers[sender].locations.heard(holder, now: self.time), from: sender)
            } else {
                self.dispatch(self.servers[sender].locations.suspected(holder, now: self.time), from: sender)
                // It speaks when it hears again.
                guard self.servers[index].isAlive else { return }
                self.schedule(self.servers[index].deafUntil - self.now + self.pick(1...50), .counted(index, by: sender))
            }
        case .arrive(let server, let sender, let letter):
            self.arrived(letter, at: server, from: sender)
        }
    }

    private func isConnected(_ id: String) -> Bool { self.sessions[id]?.last?.end == .max }

    private func isHeard(_ index: Int) -> Bool {
        self.servers[index].isAlive && self.servers[index].deafUntil <= self.now
    }

    private mutating func connect(_ id: String) {
        let alive = self.servers.indices.filter { self.servers[$0].isAlive }
        guard self.now < self.options.duration + 5_000, let server = alive.randomElement(using: &self.random) else {
            return
        }
        self.end(id, at: server)
        let session = self.sessions[id, default: []].count
        self.sessions[id, default: []].append(Session(server: server, start: self.now, end: .max))
        self.servers[server].clients[id] = session
        self.dispatch(self.servers[server].locations.connectedHere(id, now: self.time), from: server)
        if self.options.replaces {
            for other in self.servers.indices where other != server {
                self.post(.login(id, session: session), from: server, to: other, .logins)
            }
            self.schedule(self.pick(self.options.session), .connect(id))
        } else {
            self.schedule(self.pick(self.options.session), .disconnect(id))
        }
    }

    private mutating func disconnect(_ id: String) {
        guard let server = self.sessions[id]?.last?.server, self.end(id, at: server) else { return }
        self.schedule(self.pick(self.options.gap), .connect(id))
    }

    @discardableResult
    private mutating func end(_ id: String, at server: Int) -> Bool {
        guard let session = self.servers[server].clients.removeValue(forKey: id) else { return false }
        self.sessions[id]?[session].end = self.now
        return true
    }

    private mutating func send(from sender: Int, to id: String) {
        let message = Message(sender: sender, id: id, number: self.sent.count)
        self.sent.append((message, self.now))
        if self.deliver(message, at: sender) { return }
        let toAll = self.options.toAll.map { self.now / $0 % 2 == 0 } ?? false
        switch self.servers[sender].locations.send(message.frame, to: id, toAll: toAll, now: self.time) {
        case .send(let route): self.publish(message, from: sender, route)
        case .hold: break
        case .refuse: self.excused.insert(message)
        }
    }

    private mutating func dispatch(_ dispatches: [Locations.Dispatch], from sender: Int) {
        for id in self.servers[sender].locations.takeLost() { self.reported["\(sender) \(id)", default: 0] += 1 }
        for dispatch in dispatches {
            let message = Message(frame: dispatch.frame)
            if !self.deliver(message, at: sender) { self.publish(message, from: sender, dispatch.route) }
        }
    }

    private mutating func publish(_ message: Message, from sender: Int, _ route: ClientRoute) {
        switch route {
        case .shared(let ask):
            self.sharedCount += 1
            if !self.isConnected(message.id) { self.excused.insert(message) }
            for server in self.servers.indices where server != sender {
                self.post(.shared(message, ask: ask), from: sender, to: server, .shared)
            }
        case .inbox(let holder, let epoch, let number):
            self.inboxCount += 1
            let index = Int(holder.name) ?? 0
            let ticket = DeliveryTicket(stream: UInt32(index), number: UInt64(self.inboxCount))
            if self.servers[index].isAlive {
                self.post(.inbox(message, epoch: epoch, number: number, ticket), from: sender, to: index)
            }
            guard !self.isHeard(index) else { return }
            switch self.options.outcome {
            case .sentBack: self.post(.refused(message, epoch: epoch, number: number), from: index, to: sender)
            case .unheard:
                self.post(.unheard(message, epoch: epoch, number: number, ticket), from: index, to: sender, .outcomes)
            case .none:
                // Of the client nothing was known but that it was there.
                guard let session = self.sessions[message.id]?.last, session.end == .max, session.server != index,
                    self.now > session.start + 2 * self.options.latency.upperBound
                else {
                    self.excused.insert(message)
                    return
                }
            }
        }
    }

    private mutating func post(_ letter: Letter, from: Int, to: Int, _ channel: Channel = .inbox) {
        let stream = Stream(from: from, to: to, channel: channel)
        // What it does not hear it asks for when it hears again.
        let start = channel == .outcomes ? self.now : max(self.now, self.servers[to].deafUntil)
        let arrival = max(self.arrivals[stream] ?? 0, start + self.pick(self.options.latency))
        self.arrivals[stream] = arrival
        self.schedule(arrival - self.now, .arrive(at: to, from: from, letter))
    }

    private mutating func arrived(_ letter: Letter, at server: Int, from sender: Int) {
        guard self.servers[server].isAlive else {
            switch letter {
            case .inbox(let message, _, _, _): self.excused.insert(message)
            // Its client is connected nowhere.
            case .shared(let message, _) where !self.isConnected(message.id): self.excused.insert(message)
            default: break
            }
            return
        }
        let time = self.time
        switch letter {
        case .login(let id, let session):
            if let old = self.servers[server].clients[id], old < session { self.end(id, at: server) }
            let holder = self.servers[sender].holder
            self.dispatch(self.servers[server].locations.moved(id, to: holder, now: time), from: server)
        case .shared(let message, let ask):
            guard let session = self.servers[server].clients[message.id] else { return }
            self.deliver(message, at: server)
            guard let ask, let start = self.sessions[message.id]?[session].start else { return }
            let age = TimeAmount.milliseconds(self.now - start)
            self.post(.delivered(message.id, ask: ask, connectedFor: age), from: server, to: sender)
        case .inbox(let message, let epoch, let number, let ticket):
            guard self.inboxes.arrive(ticket) else { return }
            let decision = self.servers[server].holdings.received(
                from: "\(sender)",
                for: message.id,
                epoch: epoch,
                number: number,
                hasClient: self.servers[server].clients[message.id] != nil,
                now: time
            )
            switch decision {
            case .deliver: self.deliver(message, at: server)
            case .refuse: self.post(.refused(message, epoch: epoch, number: number), from: server, to: sender)
            case .ignore: break
            }
        case .unheard(let message, let epoch, let number, let ticket):
            self.unheard.insert(message)
            let dispatches = self.servers[server].locations.unheard(
                message.id,
                epoch: epoch,
                number: number,
                ticket: ticket,
                frame: message.frame,
                now: time
            )
            self.dispatch(dispatches, from: server)
            self.schedule(self.pick(1...60), .counted(sender, by: server))
        case .delivered(let id, let ask, let age):
            let holder = self.servers[sender].holder
            self.dispatch(
                self.servers[server].locations.answered(id, ask: ask, by: holder, connectedFor: age, now: time),
                from: server
            )
        case .refused(let message, let epoch, let number):
            let dispatches = self.servers[server].locations.refused(
                message.id,
                epoch: epoch,
                number: number,
                frame: message.frame,
                now: time
            )
            self.dispatch(dispatches, from: server)
        }
    }

    /// - Returns: whether the client is connected there.
    @discardableResult
    private mutating func deliver(_ message: Message, at server: Int) -> Bool {
        guard let session = self.servers[server].clients[message.id] else { return false }
        self.sessions[message.id]?[session].delivered.append(message)
        return true
    }
}
