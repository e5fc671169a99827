public import NIOCore

/// A bus in front of another one, which does all that it does not do itself: to count messages, to hold some back, or to
/// fail when it is told to.
public protocol ForwardingBus: Bus {
    /// The bus behind it.
    var bus: any Bus { get }
}

extension ForwardingBus {
    public func run(_ receiver: any BusReceiver) async throws {
        try await self.bus.run(receiver)
    }

    public func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        try self.bus.publish(message, to: channel, over: link, completion: completion)
    }

    public func subscribe(to channels: [String]) { self.bus.subscribe(to: channels) }

    public func unsubscribe(from channels: [String]) { self.bus.unsubscribe(from: channels) }

    public func subscribed(to channels: [String], within timeout: Duration) async throws {
        try await self.bus.subscribed(to: channels, within: timeout)
    }

    public func countSubscribers(
        of channels: [String],
        over link: BusLink,
        completion: @escaping @Sendable ([Int]?) -> Void
    ) {
        self.bus.countSubscribers(of: channels, over: link, completion: completion)
    }

    public func drained(within timeout: Duration) async throws {
        try await self.bus.drained(within: timeout)
    }

    public func isSubscribed(to channel: String) -> Bool { self.bus.isSubscribed(to: channel) }

    public func channelsNotSubscribed(over links: [BusLink]) -> [UnsubscribedChannel] {
        self.bus.channelsNotSubscribed(over: links)
    }

    public func hears(_ link: BusLink) -> Bool { self.bus.hears(link) }

    public var eventLoop: any EventLoop { self.bus.eventLoop }

    public var strategy: SelectionStrategy { self.bus.strategy }

    public var links: [BusLinkStatus] { self.bus.links }
}
