import CrossServerBus
import CrossServerWire
import NIOCore
import Synchronization

/// A bus that counts what its server receives, but for what servers say about themselves.
final class CountingBus: ForwardingBus {
    let bus: any Bus
    private let counter = Counter()

    private final class Counter: Sendable {
        let received = Atomic<Int>(0)
    }

    private struct Receiver: BusReceiver {
        let receiver: any BusReceiver
        let counter: Counter

        /// What servers tell each other whether there are messages or not.
        private static let announcements: Set<String> = ["heartbeat", "ask", "alive", "left", "probe"]

        func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
            if !self.isAnnouncement(message) { self.counter.received.add(1, ordering: .relaxed) }
            self.receiver.received(message, on: channel, over: link)
        }

        private func isAnnouncement(_ message: ByteBuffer) -> Bool {
            // What does not decode is counted.
            guard case .event(let event)? = try? BusMessage(decoding: message) else { return false }
            return Self.announcements.contains(event.event)
        }

        func linkChanged(_ status: BusLinkStatus) {
            self.receiver.linkChanged(status)
        }
    }

    init(_ bus: any Bus) {
        self.bus = bus
    }

    var received: Int { self.counter.received.load(ordering: .relaxed) }

    func run(_ receiver: any BusReceiver) async throws {
        try await self.bus.run(Receiver(receiver: receiver, counter: self.counter))
    }
}
