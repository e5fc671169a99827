public import NIOCore
import Synchronization

/// A bus between servers of one process, without any socket: for tests of applications.
///
/// ```swift
/// let hub = InProcessBus.Hub(eventLoopGroup: group)
/// let first = WebSocketCrossServerAdapter(serverName: "first", bus: hub.makeBus())
/// let second = WebSocketCrossServerAdapter(serverName: "second", bus: hub.makeBus())
/// ```
///
/// Messages of one sender arrive in order and once, for as long as both buses run.
public final class InProcessBus: Bus {
    private let hub: Hub
    public let eventLoop: any EventLoop
    private let state = Mutex(State())

    private struct State {
        var receiver: (any BusReceiver)?
        var hasRun = false
        var channels: Set<String> = []
        var waitingBytes = 0
    }

    /// Bytes that wait for one receiver. Beyond: it does not get the message, and the publisher gets `refused`.
    public static let maximumWaitingBytes = 64 << 20

    private static let link = BusLink(number: 0)

    fileprivate init(hub: Hub, eventLoop: any EventLoop) {
        self.hub = hub
        self.eventLoop = eventLoop
    }

    /// What connects the buses of a process.
    public final class Hub: Sendable {
        private let eventLoopGroup: any EventLoopGroup
        private let buses = Mutex<[ObjectIdentifier: InProcessBus]>([:])

        public init(eventLoopGroup: any EventLoopGroup) {
            self.eventLoopGroup = eventLoopGroup
        }

        /// One per server.
        public func makeBus() -> InProcessBus {
            InProcessBus(hub: self, eventLoop: self.eventLoopGroup.next())
        }

        fileprivate func attach(_ bus: InProcessBus) {
            self.buses.withLock { $0[ObjectIdentifier(bus)] = bus }
        }

        fileprivate func detach(_ bus: InProcessBus) {
            self.buses.withLock { $0[ObjectIdentifier(bus)] = nil }
        }

        fileprivate func countSubscribers(of channels: [String]) -> [Int] {
            let buses = self.buses.withLock { Array($0.values) }
            return channels.map { channel in
                buses.count { bus in bus.state.withLock { $0.channels.contains(channel) } }
            }
        }

        fileprivate func publish(_ message: ByteBuffer, to channel: String) -> (receivers: Int, refused: Int) {
            // Under the lock, so that all receivers see the messages of all senders in one order.
            self.buses.withLock { buses in
                var counts = (receivers: 0, refused: 0)
                for bus in buses.values {
                    switch bus.accept(message, on: channel) {
                    case .accepted: counts.receivers += 1
                    case .refused: counts.refused += 1
                    case .notWanted: break
                    }
                }
                return counts
            }
        }
    }

    public func run(_ receiver: any BusReceiver) async throws {
        let isFirst = self.state.withLock { state in
            defer { state.hasRun = true }
            if !state.hasRun { state.receiver = receiver }
            return !state.hasRun
        }
        guard isFirst else { throw BusError(.alreadyRun, "a bus runs once; make a new one") }
        self.hub.attach(self)
        self.report(to: receiver)
        // Ends when the task is cancelled.
        let (forever, continuation) = AsyncStream<Never>.makeStream()
        for await _ in forever {}
        continuation.finish()
        self.hub.detach(self)
        self.state.withLock { $0.receiver = nil }
        self.report(to: receiver)
    }

    private func report(to receiver: any BusReceiver) {
        let links = self.links
        self.eventLoop.execute {
            for link in links { receiver.linkChanged(link) }
        }
    }

    public func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        guard self.isRunning else { throw BusError(.notConnected, "the bus does not run") }
        let counts = self.hub.publish(message, to: channel)
        if counts.refused > 0 {
            completion?(.failure(BusError(.refused, "\(counts.refused) receivers have too much to do already")))
        } else {
            completion?(.success(Publication(link: Self.link, receivers: counts.receivers)))
        }
    }

    public func subscribe(to channels: [String]) {
        self.state.withLock { $0.channels.formUnion(channels) }
    }

    public func unsubscribe(from channels: [String]) {
        self.state.withLock { $0.channels.subtract(channels) }
    }

    public func subscribed(to channels: [String], within timeout: Duration) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while !self.isRunning {
            // One that has ended does not run again.
            guard clock.now < deadline, !self.state.withLock({ $0.hasRun }) else {
                throw BusError(.notConnected, "the bus does not run")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    public func countSubscribers(
        of channels: [String],
        over link: BusLink,
        completion: @escaping @Sendable ([Int]?) -> Void
    ) {
        completion(self.hub.countSubscribers(of: channels))
    }

    /// Returns at once: a message is handed over when it is published.
    public func drained(within timeout: Duration) async throws {
        try Task.checkCancellation()
    }

    public func isSubscribed(to channel: String) -> Bool {
        self.state.withLock { $0.receiver != nil && $0.channels.contains(channel) }
    }

    /// There is one link.
    public var strategy: SelectionStrategy { .fastest }

    public var links: [BusLinkStatus] {
        let isRunning = self.isRunning
        return [BusLinkStatus(link: Self.link, name: "in process", canPublish: isRunning, canReceive: isRunning)]
    }

    private var isRunning: Bool { self.state.withLock { $0.receiver != nil } }

    private enum Acceptance { case accepted, refused, notWanted }

    private func accept(_ message: ByteBuffer, on channel: String) -> Acceptance {
        let size = message.readableBytes
        let acceptance: Acceptance = self.state.withLock { state in
            guard state.receiver != nil, state.channels.contains(channel) else { return .notWanted }
            guard state.waitingBytes + size <= Self.maximumWaitingBytes else { return .refused }
            state.waitingBytes += size
            return .accepted
        }
        guard case .accepted = acceptance else { return acceptance }
        self.eventLoop.execute {
            let receiver = self.state.withLock { state in
                state.waitingBytes -= size
                return state.receiver
            }
            receiver?.received(message, on: channel, over: Self.link)
        }
        return .accepted
    }
}
