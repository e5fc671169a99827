import CrossServerBus
import CrossServerRESP
import CrossServerTLS
import CrossServerWire
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// One Redis node of a bus: its two connections and what is to be published and subscribed on them.
final class RedisLink: Sendable {
    let busLink: BusLink
    let node: RedisNode
    let name: String
    let eventLoop: any EventLoop
    let outbox: Outbox
    let configuration: RedisBus.Configuration
    let logger: Logger
    let core: BusCore
    let dialer: RedisDialer
    let members: Mutex<MemberList>
    let places = Mutex(Places())
    private let publisher: NIOLoopBoundBox<PublisherHandler?>
    private let subscriber: NIOLoopBoundBox<Subscriber?>
    private let stopped = AsyncStream<Never>.makeStream()

    struct Places: Sendable {
        /// Where a role is connected to, or was to be.
        var addresses: [RedisRole: RedisAddress] = [:]
        /// What was reported last of a role that is not usable.
        var failures: [RedisRole: RedisFailure] = [:]
        /// What the server says to publishes, while it takes none.
        var refusal: String?
        /// What was refused in handshakes, and done without: told once.
        var warnings: Set<String> = []
        /// What a server says then may differ each time.
        static let maximumWarnings = 16
    }

    /// - Throws: ``BusError`` with `invalidConfiguration`.
    init(
        number: Int,
        node: RedisNode,
        core: BusCore,
        eventLoop: any EventLoop
    ) throws(BusError) {
        try node.validate()
        self.busLink = BusLink(number: number)
        self.node = node
        self.name = node.name
        self.eventLoop = eventLoop
        self.core = core
        self.configuration = core.configuration
        var logger = core.logger
        logger[metadataKey: "redis"] = "\(node.name)"
        self.logger = logger
        self.outbox = Outbox(maximumBytes: core.configuration.maximumBytesInFlight)
        var context: NIOSSLContext?
        if let tls = node.tls {
            do {
                context = try NIOSSLContext(configuration: tls.modern)
            } catch {
                throw BusError(.invalidConfiguration, "\(node.name): the TLS configuration cannot be used: \(error)")
            }
        }
        self.dialer = RedisDialer(eventLoop: eventLoop, tls: context, keepAlive: node.keepAlive)
        let seeds: [RedisAddress] =
            switch node.endpoint {
            case .server(let address): [address]
            case .sentinel(_, let sentinels): sentinels
            case .cluster(let members): members
            }
        self.members = Mutex(MemberList(seeds: seeds))
        self.publisher = .makeEmptyBox(eventLoop: eventLoop)
        self.subscriber = .makeEmptyBox(eventLoop: eventLoop)
        eventLoop.execute { self.subscriber.value = Subscriber(link: self) }
    }

    var counters: Counters { self.core.counters }

    var limits: RESPLimits {
        var limits = RESPLimits()
        limits.maximumBulkLength = self.configuration.maximumMessageSize
        // As long as Redis takes a string by default.
        limits.maximumSkippedLength = 512 << 20
        limits.maximumLength = self.configuration.maximumMessageSize + (1 << 20)
        limits.maximumElements = 1_024
        limits.maximumDepth = 4
        return limits
    }

    /// Any thread.
    func publish(_ message: ByteBuffer, to channel: String, outcome: PublishOutcome) -> Outbox.Outcome {
        let taken = self.outbox.append(message, to: channel, outcome: outcome)
        if case .isDue = taken { self.eventLoop.execute { self.publisher.value?.flush() } }
        return taken
    }

    /// Writes what waits. On the event loop.
    func flush() {
        self.publisher.value?.flush()
    }

    /// Any thread.
    func count(_ channels: [String], _ completion: @escaping CountCompletion) {
        self.eventLoop.execute {
            guard let publisher = self.publisher.value else { return completion(nil) }
            publisher.count(channels, completion)
        }
    }

    /// Any thread, as all that follows: calls are carried out in their order.
    func subscribe(to channels: [String]) {
        self.eventLoop.execute { self.subscriber.value?.subscribe(to: channels) }
    }

    func unsubscribe(from channels: [String]) {
        self.eventLoop.execute { self.subscriber.value?.unsubscribe(from: channels) }
    }

    func subscribed(to channels: Set<String>, within timeout: Duration) async -> SubscriptionWait.Outcome {
        let promise = self.eventLoop.makePromise(of: SubscriptionWait.Outcome.self)
        let timer = self.eventLoop.scheduleTask(in: TimeAmount(timeout)) { promise.succeed(.timedOut) }
        self.eventLoop.execute {
            let wait = SubscriptionWait { promise.succeed($0) }
            promise.futureResult.assumeIsolated().whenComplete { _ in wait.finish(.timedOut) }
            guard let subscriber = self.subscriber.value else { return wait.finish(.unusable) }
            subscriber.wait(for: channels, wait)
        }
        defer { timer.cancel() }
        do {
            return try await withTaskCancellationHandler {
                try await promise.futureResult.get()
            } onCancel: {
                promise.succeed(.timedOut)
            }
        } catch {
            return .unusable
        }
    }

    /// Ends ``run(_:)``.
    func stop() {
        self.stopped.continuation.finish()
    }

    /// Keeps the connections until ``stop()`` or cancellation; returns when both are closed.
    func run(_ receiver: any BusReceiver) async {
        await withTaskGroup { group in
            group.addTask { await self.keepConnected(.publisher, receiver) }
            group.addTask { await self.keepConnected(.subscriber, receiver) }
            if case .sentinel = self.node.endpoint { group.addTask { await self.watchMaster() } }
            for await _ in self.stopped.stream {}
            group.cancelAll()
        }
    }

    /// Gives up what a role is connected to.
    func disconnect(_ role: RedisRole, _ failure: RedisFailure) {
        self.eventLoop.execute {
            switch role {
            case .publisher: self.publisher.value?.fail(failure)
            case .subscriber: self.subscriber.value?.fail(failure)
            }
        }
    }
}

/// A connection that is ready, with the handler of its role.
struct LinkConnection: Sendable {
    let channel: any Channel
    /// Completed when the connection has ended, with the reason.
    let end: EventLoopFuture<RedisFailure>
    /// Nil for one that publishes.
    let subscriber: NIOLoopBound<SubscriberHandler>?
    /// Each time when it does not answer and is not closed. Ends with it.
    let silences: AsyncStream<Void>
    /// Gives it up. On the event loop.
    let close: @Sendable (RedisFailure) -> Void
}

// On the event loop
extension RedisLink {
    /// Adds the handler of the role to a connection that is ready.
    func install(
        _ role: RedisRole,
        on channel: any Channel,
        _ receiver: any BusReceiver
    ) throws -> LinkConnection {
        switch role {
        case .publisher:
            let handler = PublisherHandler(link: self)
            try channel.pipeline.syncOperations.addHandler(handler)
            let bound = NIOLoopBound(handler, eventLoop: self.eventLoop)
            return LinkConnection(channel: channel, end: handler.end, subscriber: nil, silences: .init { nil }) {
                failure in
                bound.value.fail(failure)
            }
        case .subscriber:
            guard let subscriber = self.subscriber.value else { throw RedisFailure(.stopped, "the link has ended") }
            let handler = SubscriberHandler(link: self, subscriber: subscriber, receiver: receiver)
            try channel.pipeline.syncOperations.addHandler(handler)
            let bound = NIOLoopBound(handler, eventLoop: self.eventLoop)
            return LinkConnection(channel: channel, end: handler.end, subscriber: bound, silences: handler.silences) {
                bound.value.fail($0)
            }
        }
    }

    func isSubscribed(to channel: String) -> Bool {
        self.subscriber.value?.isConfirmed(channel) ?? false
    }

    var channelsNotSubscribed: [UnsubscribedChannel] { self.subscriber.value?.channelsNotSubscribed ?? [] }

    func publisherOpened(_ handler: PublisherHandler) {
        self.publisher.value = handler
        self.changed(.publisher, isHealthy: true, nil)
    }

    func publisherClosed(_ handler: PublisherHandler, _ failure: RedisFailure) {
        guard self.publisher.value === handler else { return }
        self.publisher.value = nil
        self.changed(.publisher, isHealthy: false, failure)
    }

    func changed(_ role: RedisRole, isHealthy: Bool, _ failure: RedisFailure?) {
        self.places.withLock { places in
            places.failures[role] = failure
            if role == .publisher { places.refusal = nil }
        }
        if let failure, failure.kind != .stopped { self.log("connection lost", role, failure) }
        if failure?.kind == .protocolViolation { self.counters.dropped.add(1) }
        let event: RedisHealthReport.Event = isHealthy ? .ready : .lost
        self.core.changed(self, role, event, failure)
    }

    func publishFailed(_ number: UInt64) {
        self.core.publishFailed(self, number)
    }

    func stalled() {
        self.core.stalled(self)
    }

    func measured(_ latency: TimeAmount) {
        self.core.measured(self, .nanoseconds(latency.nanoseconds))
    }

    /// - Parameters:
    ///   - message: the server's; nil when it takes messages again.
    ///   - isNews: whether it is logged.
    func publishRefused(_ message: String?, isNews: Bool) {
        let refusal = message.map { RedisFailure(.refused, "a publish is refused: \($0)").message }
        self.places.withLock { $0.refusal = refusal }
        if let refusal, isNews { self.logger.warning("publish refused", metadata: ["error": "\(refusal)"]) }
        self.core.problemChanged(self)
    }

    /// Why the link is not usable, for people; nil when it is.
    var problem: String? {
        self.places.withLock { $0.failures[.publisher]?.message ?? $0.failures[.subscriber]?.message ?? $0.refusal }
    }

    /// The server is a replica now: what is published there reaches its own subscribers alone.
    func demoted(_ failure: RedisFailure) {
        self.subscriber.value?.fail(failure)
    }

    func messageTooLong(on channel: String) {
        self.counters.tooLarge.add(1)
        self.core.messageTooLong(self, channel)
    }

    func subscriptionFailed(_ channel: String, wasSubscribing: Bool, _ message: String) {
        self.core.subscriptionFailed(self, channel, wasSubscribing ? .subscribe : .unsubscribe, message)
    }

    /// Where a role is connected to, for reports.
    func place(of role: RedisRole) -> (host: String, port: Int) {
        let address = self.places.withLock { $0.addresses[role] } ?? self.members.withLock { $0.current }
        switch address {
        case .tcp(let host, let port): return (host, port)
        case .unixSocket(let path): return (path, 0)
        }
    }
}
