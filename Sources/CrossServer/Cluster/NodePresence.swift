import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Finds out whether another server has this one's name: the younger of the two is refused.
///
/// Each server says hello on the cluster channel over every link that it comes to hear. Who hears its own name from
/// another life answers: an older server with a refusal, a younger one with a hello of its own.
final class NodePresence: Sendable {
    enum Answer: Equatable {
        case none
        /// The other is younger.
        case refuse(incarnation: String)
        /// The other is older, and shall know of this one.
        case hello
        /// This server is refused.
        case stop
    }

    static let hello = "hello"
    static let taken = "taken"

    private let name: String
    private let incarnation: String
    private let start = NIODeadline.now()
    private let refusals = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1))

    init(name: String, incarnation: String) {
        self.name = name
        self.incarnation = incarnation
    }

    func uptime(now: NIODeadline = .now()) -> Int64 { (now - self.start).nanoseconds / 1_000_000 }

    /// What this server says about itself.
    func message(_ event: String, to incarnation: String? = nil) -> CrossServerEvent {
        var payload: Payload = ["incarnation": Payload(self.incarnation), "uptime": Payload(Int(self.uptime()))]
        if let incarnation {
            payload = ["incarnation": Payload(self.incarnation), "refused": Payload(incarnation)]
        }
        return CrossServerEvent(event: event, sender: self.name, payload: payload)
    }

    func answer(to event: CrossServerEvent, now: NIODeadline = .now()) -> Answer {
        guard event.sender == self.name, let other = event.payload["incarnation"]?.string, other != self.incarnation
        else { return .none }
        switch event.event {
        case Self.hello:
            let uptime = event.payload["uptime"].flatMap { Int64($0.json) } ?? 0
            let own = self.uptime(now: now)
            let isOlder = own == uptime ? self.incarnation < other : own > uptime
            return isOlder ? .refuse(incarnation: other) : .hello
        case Self.taken:
            return event.payload["refused"]?.string == self.incarnation ? .stop : .none
        default:
            return .none
        }
    }

    func stop() {
        self.refusals.continuation.yield(())
    }

    /// Waits for the refusal, until the task is cancelled.
    ///
    /// - Throws: ``CrossServerError`` with `nameTaken`.
    func refused() async throws {
        for await _ in self.refusals.stream {
            throw CrossServerError(.nameTaken, "another server of the cluster has the name \(self.name)")
        }
    }
}

extension ClusterNode {
    func announce(over link: BusLink) {
        self.say(self.presence.message(NodePresence.hello), over: link)
    }

    func receivedPresence(_ event: CrossServerEvent, over link: BusLink) {
        switch self.presence.answer(to: event) {
        case .none: break
        case .hello: self.announce(over: link)
        case .refuse(let incarnation):
            self.throttles.nameTaken.log(self.logger, level: .warning, "another server wanted this one's name")
            self.say(self.presence.message(NodePresence.taken, to: incarnation), over: link)
        case .stop: self.presence.stop()
        }
    }

    private func say(_ event: CrossServerEvent, over link: BusLink) {
        do {
            try self.publish(.event(event), to: self.channels.cluster, over: link, completion: nil)
        } catch {
            ClusterCounters.increment(self.counters.messagesNotSent)
            self.logger.debug("not announced", metadata: ["error": "\(error)"])
        }
    }
}
