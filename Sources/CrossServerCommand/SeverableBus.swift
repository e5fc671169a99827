import CrossServerBus
import NIOCore
import Synchronization

/// A bus that can be cut, as when its server's process dies: nothing goes out any more, a goodbye neither.
final class SeverableBus: Bus {
    private let bus: any Bus
    private let isSevered = Atomic(false)

    init(_ bus: any Bus) {
        self.bus = bus
    }

    func sever() { self.isSevered.store(true, ordering: .relaxed) }

    var links: [BusLinkStatus] { self.isSevered.load(ordering: .relaxed) ? [] : self.bus.links }

    var eventLoop: any EventLoop { self.bus.eventLoop }

    var strategy: SelectionStrategy { self.bus.strategy }

    func isSubscribed(to channel: String) -> Bool { self.bus.isSubscribed(to: channel) }

    func channelsNotSubscribed(over links: [BusLink]) -> [UnsubscribedChannel] {
        self.bus.channelsNotSubscribed(over: links)
    }

    func run(_ receiver: any BusReceiver) async throws {
        try await self.bus.run(receiver)
    }

    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        guard !self.isSevered.load(ordering: .relaxed) else { throw BusError(.notConnected, "the bus is cut") }
        try self.bus.publish(message, to: channel, over: link, completion: completion)
    }

    func subscribe(to channels: [String]) { self.bus.subscribe(to: channels) }

    func unsubscribe(from channels: [String]) { self.bus.unsubscribe(from: channels) }

    func subscribed(to channels: [String], within timeout: Duration) async throws {
        try await self.bus.subscribed(to: channels, within: timeout)
    }

    func countSubscribers(
        of channels: [String],
        over link: BusLink,
        completion: @escaping @Sendable ([Int]?) -> Void
    ) {
        self.bus.countSubscribers(of: channels, over: link, completion: completion)
    }

    func drained(within timeout: Duration) async throws {
        try await self.bus.drained(within: timeout)
    }

    func hears(_ link: BusLink) -> Bool { self.bus.hears(link) }
}
