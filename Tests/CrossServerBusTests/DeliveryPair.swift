import NIOCore
import Testing

@testable import CrossServerBus

/// A sender and a receiver with nothing between them but what a test lets through.
struct DeliveryPair {
    static let links = [BusLink(number: 0), BusLink(number: 1)]
    static let channel = "ws:room"

    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    var sender: DeliverySender
    var receiver: DeliveryReceiver
    var delivered: [UInt64] = []
    var gaps: [DeliveryGap] = []
    /// What the receiver has asked.
    var asked: [DeliveryFrame.Body] = []

    init(_ configure: (inout DeliveryConfiguration) -> Void = { _ in }) {
        var configuration = DeliveryConfiguration()
        configure(&configuration)
        self.sender = DeliverySender(
            name: "a",
            incarnation: 1,
            configuration: configuration,
            strategy: .first,
            start: self.now
        )
        self.receiver = DeliveryReceiver(name: "b", incarnation: 2, configuration: configuration, now: self.now)
        self.receiver.subscribe(Self.channel, now: self.now)
        self.receiver.inForce(Self.channel, now: self.now)
        self.wait(.milliseconds(100))
        self.reach(Self.links, heardBy: Self.links)
        self.receiver.joined(1, name: "a", uptime: .milliseconds(100), now: self.now)
        // The heads that it asks for because the other is new.
        self.exchange()
        self.asked = []
    }

    mutating func wait(_ time: TimeAmount) {
        self.now = self.now + time
    }

    mutating func reach(_ links: [BusLink], heardBy heard: [BusLink]) {
        var reach = Reach()
        reach.links = links.map { Reach.Link(link: $0, provedAt: self.now) }
        reach.servers[2] = Reach.Server(name: "b", links: heard)
        _ = self.sender.update(reach, now: self.now)
        reach.servers = [1: Reach.Server(name: "a", links: heard)]
        self.receiver.update(reach)
    }

    static func message(_ id: UInt8) -> ByteBuffer { ByteBuffer(bytes: [0x81, 0xa1, 0x69, 0xcc, id]) }

    /// Sends without delivering.
    mutating func send(_ id: UInt8) -> ByteBuffer {
        var message = Self.message(id)
        let outcome = self.sender.send(&message, to: Self.channel, now: self.now)
        guard case .publish = outcome else {
            Issue.record("\(outcome)")
            return message
        }
        return message
    }

    mutating func sendOnce(_ id: UInt8) throws -> ByteBuffer {
        var message = Self.message(id)
        _ = try self.sender.sendOnce(&message, now: self.now).get()
        return message
    }

    struct NotPublished: Error {
        var outcome: DeliverySender.Outcome
    }

    mutating func publish(
        _ id: UInt8,
        to channel: String = "x",
        audience: UInt64? = nil
    ) throws -> ((ticket: DeliveryTicket, links: [BusLink]), ByteBuffer) {
        var message = Self.message(id)
        let outcome = self.sender.send(&message, to: channel, audience: audience, now: self.now)
        guard case .publish(let ticket, let link, let more) = outcome else { throw NotPublished(outcome: outcome) }
        return ((ticket, [link] + more), message)
    }

    mutating func receive(_ message: ByteBuffer) {
        if self.receiver.received(message, on: Self.channel, over: Self.links[0], now: self.now) { self.note(message) }
        self.exchange()
    }

    private mutating func note(_ message: ByteBuffer) {
        self.delivered.append(Stamp(endOf: message)?.number ?? 0)
    }

    /// Carries frames to and fro.
    mutating func exchange() {
        self.receiver.tick(now: self.now)
        self.carry(self.sender.tick(now: self.now))
        while true {
            let actions = self.receiver.takeActions()
            if actions.isEmpty { break }
            for action in actions {
                switch action {
                case .deliver(let message, _, _): self.note(message)
                case .gap(let gap): self.gaps.append(gap)
                case .tell(let bytes, _, let link):
                    guard let frame = DeliveryFrame(bytes) else { continue }
                    self.asked.append(frame.body.withoutToken)
                    self.carry(self.sender.received(frame, over: link, now: self.now))
                case .publish, .refuse: Issue.record("\(action)")
                }
            }
        }
    }

    private mutating func carry(_ actions: [DeliveryAction]) {
        for case .tell(let bytes, _, let link) in actions {
            if let frame = DeliveryFrame(bytes) { self.receiver.received(frame, over: link, now: self.now) }
        }
    }
}

extension DeliveryPair {
    /// As anyone may write it, in the name of the sender.
    func forged(_ number: UInt64, uptime: Int64? = nil, sincePrevious: UInt32, incarnation: UInt64 = 1) -> ByteBuffer {
        var message = Self.message(0)
        let stamp = Stamp(
            incarnation: incarnation,
            number: number,
            uptime: uptime ?? self.sender.uptime(self.now),
            sincePrevious: sincePrevious
        )
        #expect(stamp.append(to: &message))
        return message
    }

    mutating func receiveFrame(_ body: DeliveryFrame.Body) {
        let frame = DeliveryFrame(name: "a", incarnation: 1, target: 2, body: body)
        self.receiver.received(frame, over: Self.links[0], now: self.now)
        self.exchange()
    }

    /// Until nothing is missing, as far as the receiver knows.
    mutating func settle() {
        for _ in 0..<10 {
            self.wait(.milliseconds(50))
            self.exchange()
        }
    }
}

extension DeliveryFrame.Body {
    fileprivate var withoutToken: Self {
        switch self {
        case .request(let channel, let missing, _): .request(channel: channel, missing: missing, token: 0)
        case .requestSince(let channel, let uptime, _): .requestSince(channel: channel, uptime: uptime, token: 0)
        default: self
        }
    }
}
