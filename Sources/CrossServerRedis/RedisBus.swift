public import CrossServerBus
public import Logging
public import NIOCore
public import NIOPosix
import Synchronization

/// A bus over one or several Redis or Valkey nodes: subscribes on all of them and publishes each message on one.
///
/// ```swift
/// let bus = try RedisBus("redis://10.0.0.5:6379", "rediss://user:secret@10.0.0.6:6380")
/// ```
///
/// For each node there is one connection that publishes and one that subscribes. A connection that is lost is made
/// again for ever, with growing waits. One that hangs is found by probes and out of use until it answers, or another one
/// does. A node is used again when a new connection has answered and, for receiving, when every wanted channel is
/// subscribed on it. A server that has become a replica is out of use until it is a master again.
///
/// Publishes are pipelined. While a node owes replies, messages for it are collected until the next reply comes, or until
/// 64 of them or 16 KiB wait.
public final class RedisBus: NumberingBus {
    public let configuration: Configuration
    let core: BusCore
    /// Of all its connections.
    public let eventLoop: any EventLoop

    /// - Parameters:
    ///   - nodes: at least one; more can be added later.
    ///   - eventLoopGroup: the process-wide group by default. The bus takes one of its loops.
    ///   - logger: label `crossserver.redis` by default.
    /// - Throws: ``BusError`` with `invalidConfiguration`.
    public init(
        nodes: [RedisNode],
        configuration: Configuration = Configuration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "crossserver.redis")
    ) throws(BusError) {
        try configuration.validate()
        guard !nodes.isEmpty else {
            throw BusError(.invalidConfiguration, "a bus needs at least one Redis node, and got none")
        }
        self.configuration = configuration
        self.eventLoop = eventLoopGroup.next()
        self.core = BusCore(configuration: configuration, logger: logger)
        for node in nodes { _ = try self.add(node) }
    }

    /// - Parameter urls: in the forms of ``RedisNode/init(_:)``.
    /// - Throws: ``BusError`` with `invalidConfiguration`.
    public convenience init(_ urls: String...) throws(BusError) {
        var nodes: [RedisNode] = []
        for url in urls { nodes.append(try RedisNode(url)) }
        try self.init(nodes: nodes)
    }

    deinit {
        self.core.end()
    }

    public func run(_ receiver: any BusReceiver) async throws {
        let (added, continuation) = AsyncStream<RedisLink>.makeStream()
        let links = try self.core.table.withLock { table throws(BusError) in
            guard case .idle = table.phase else { throw BusError(.alreadyRun, "a bus runs once") }
            table.phase = .running(receiver, continuation)
            return table.entries.map(\.link)
        }
        await withDiscardingTaskGroup { group in
            for link in links { group.addTask { await link.run(receiver) } }
            // Ends when this task is cancelled, and the links with it.
            for await link in added { group.addTask { await link.run(receiver) } }
        }
        self.core.end()
    }

    public func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        try self.publish(message, to: channel, over: link, PublishOutcome(completion))
    }

    package func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink,
        number: UInt64
    ) throws(BusError) {
        try self.publish(message, to: channel, over: link, .receiver(number))
    }

    private func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        _ outcome: PublishOutcome
    ) throws(BusError) {
        guard message.readableBytes <= self.configuration.maximumMessageSize else {
            self.core.counters.failed.add(1)
            let limit = self.configuration.maximumMessageSize
            throw BusError(.messageTooLarge, "the message has \(message.readableBytes) bytes, the limit is \(limit)")
        }
        if let link = self.core.selection.withLock({ $0.next(preferring: link?.number) }) {
            switch link.publish(message, to: channel, outcome: outcome) {
            case .appended, .isDue: return
            case .full, .closed: break
            }
        }
        try self.publishAnywhere(message, to: channel, outcome)
    }

    /// The link of choice takes no more: any other will do, also one over which nothing is heard now.
    private func publishAnywhere(
        _ message: ByteBuffer,
        to channel: String,
        _ outcome: PublishOutcome
    ) throws(BusError) {
        var isFull = false
        for link in self.core.table.withLock({ $0.entries.filter(\.status.canPublish).map(\.link) }) {
            switch link.publish(message, to: channel, outcome: outcome) {
            case .appended, .isDue: return
            case .full: isFull = true
            case .closed: continue
            }
        }
        self.core.counters.failed.add(1)
        guard isFull else {
            throw BusError(.notConnected, "no Redis node can be published on\(self.core.problems)")
        }
        let limit = self.configuration.maximumBytesInFlight
        throw BusError(.tooManyBytesInFlight, "\(limit) bytes wait to be published on each Redis node")
    }

    public func subscribe(to channels: [String]) {
        self.core.table.withLock { table in
            let new = channels.filter { table.wanted.insert($0).inserted }
            if new.isEmpty { return }
            // Within the lock, so that all links see the changes in one order.
            for entry in table.entries { entry.link.subscribe(to: new) }
        }
    }

    public func unsubscribe(from channels: [String]) {
        self.core.table.withLock { table in
            let left = channels.filter { table.wanted.remove($0) != nil }
            if left.isEmpty { return }
            for entry in table.entries { entry.link.unsubscribe(from: left) }
        }
    }

    public func countSubscribers(
        of channels: [String],
        over link: BusLink,
        completion: @escaping @Sendable ([Int]?) -> Void
    ) {
        let link = self.core.table.withLock { table in table.entries.first { $0.link.busLink == link }?.link }
        guard let link else { return completion(nil) }
        link.count(channels, completion)
    }

    public func drained(within timeout: Duration) async throws {
        let clock = ContinuousClock()
        let end = clock.now + timeout
        while self.core.table.withLock({ table in table.entries.contains { $0.link.outbox.bytesInFlight > 0 } }) {
            guard clock.now < end else { throw BusError(.outcomeUnknown, "messages were not answered in time") }
            // Only ever waited for at the end, so that no publish has to count who waits.
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    public var strategy: SelectionStrategy { self.configuration.strategy }

    public var links: [BusLinkStatus] {
        let links = self.core.table.withLock { $0.entries.map(\.status) }
        guard self.strategy == .fastest else { return links }
        let order = self.core.selection.withLock { $0.numbersByLatency }
        let rank = { (link: BusLink) in order.firstIndex(of: link.number) ?? order.count }
        return links.sorted { (rank($0.link), $0.link.number) < (rank($1.link), $1.link.number) }
    }

    public func isSubscribed(to channel: String) -> Bool {
        let links = self.core.table.withLock { table in table.entries.filter(\.status.canReceive).map(\.link) }
        return !links.isEmpty && links.allSatisfy { $0.isSubscribed(to: channel) }
    }

    public func channelsNotSubscribed(over links: [BusLink]) -> [UnsubscribedChannel] {
        let asked = self.core.table.withLock { table in
            table.entries.map(\.link).filter { links.contains($0.busLink) }
        }
        guard let first = asked.first else { return [] }
        return first.channelsNotSubscribed.filter { missing in
            !asked.contains { $0.isSubscribed(to: missing.channel) }
        }
    }

    public func hears(_ link: BusLink) -> Bool {
        self.core.table.withLock { $0.entries.contains { $0.status.link == link && $0.status.canReceive } }
    }
}

// Nodes that come and go
extension RedisBus {
    /// Adds a node. When the bus runs it is connected at once, and first of all every wanted channel is subscribed.
    ///
    /// - Throws: ``BusError`` with `invalidConfiguration`, also when a node with the same endpoint is there already, or
    ///   with `alreadyRun` when the bus has ended.
    public func add(_ node: RedisNode) throws(BusError) -> BusLink {
        let number = self.core.table.withLock { table in
            table.lastNumber += 1
            return table.lastNumber
        }
        let link = try RedisLink(number: number, node: node, core: self.core, eventLoop: self.eventLoop)
        try self.core.table.withLock { table throws(BusError) in
            if case .ended = table.phase { throw BusError(.alreadyRun, "the bus has ended") }
            if table.entries.contains(where: { $0.link.node.endpoint == node.endpoint }) {
                throw BusError(.invalidConfiguration, "the Redis node \(node.name) is there already")
            }
            let status = BusLinkStatus(link: link.busLink, name: link.name, canPublish: false, canReceive: false)
            table.entries.append(BusCore.Entry(link: link, status: status))
            if !table.wanted.isEmpty { link.subscribe(to: Array(table.wanted)) }
            if case .running(_, let added) = table.phase { added.yield(link) }
        }
        self.core.changes.emit(())
        return link.busLink
    }

    /// Closes the connections to a node and uses it no more. Publishes that were not answered have an unknown outcome.
    ///
    /// - Returns: false when there is no such link.
    @discardableResult
    public func remove(_ link: BusLink) -> Bool {
        let removed = self.core.table.withLock { table -> RedisLink? in
            guard let index = table.entries.firstIndex(where: { $0.link.busLink == link }) else { return nil }
            self.core.selection.withLock { $0.remove(number: link.number) }
            return table.entries.remove(at: index).link
        }
        removed?.stop()
        return removed != nil
    }
}
