import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Carries messages to other servers: the bus, what numbers and repeats them, the channels that they take, and what was counted
/// of all that.
///
/// Without a bus there are no other servers.
final class Transport: Sendable {
    /// This server's.
    let name: String
    /// One life of this server: other servers tell it by this from one that had the name before.
    let incarnation: String
    let configuration: WebSocketCrossServerAdapter.Configuration
    let channels: ClusterChannels
    /// The channel that this life hears alone.
    let inbox: String
    let bus: (any Bus)?
    /// Nil without a bus, and when messages go out as they are.
    let courier: Courier?
    let eventLoop: any EventLoop
    let logger: Logger
    let counters = ClusterCounters()
    let throttles = ClusterThrottles()
    /// How many servers live and cannot be reached.
    let unreachableCount = Atomic(0)
    /// What concerns servers of the original, and has no number, goes over this link; -1 for any.
    let linkOfOriginals = Atomic(-1)
    let gaps = Reports<MissedMessages>(maximumWaiting: 1_000)
    let unsentMessages = Reports<UnsentMessage>(maximumWaiting: 1_000)

    init(
        name: String,
        configuration: WebSocketCrossServerAdapter.Configuration,
        bus: (any Bus)?,
        eventLoop: any EventLoop,
        start: NIODeadline,
        logger: Logger
    ) {
        let incarnation = UInt64.random(in: 1 ... .max)
        let channels = ClusterChannels(
            bridgePrefix: configuration.cluster.bridgePrefix,
            webSocketPrefix: configuration.cluster.webSocketPrefix
        )
        self.name = name
        self.incarnation = String(incarnation, radix: 36)
        self.configuration = configuration
        self.channels = channels
        self.inbox = channels.inbox(of: name, incarnation: self.incarnation)
        self.bus = bus
        self.eventLoop = eventLoop
        self.logger = logger
        if let bus, configuration.cluster.delivery == .ordered {
            self.courier = Courier(bus: bus, name: name, incarnation: incarnation, channels: channels, now: start)
        } else {
            self.courier = nil
        }
    }

    // MARK: Channels

    func subscribe(to channels: [String]) {
        if let courier = self.courier { courier.subscribe(to: channels) } else { self.bus?.subscribe(to: channels) }
    }

    func unsubscribe(from channels: [String]) {
        if let courier = self.courier {
            courier.unsubscribe(from: channels)
        } else {
            self.bus?.unsubscribe(from: channels)
        }
    }

    /// Waits until the channels are subscribed on every link that is usable.
    ///
    /// - Throws: as ``Bus/subscribed(to:within:)``.
    func subscribed(to channels: [String], within timeout: Duration) async throws {
        if let courier = self.courier {
            try await courier.subscribed(to: channels, within: timeout)
        } else {
            try await self.bus?.subscribed(to: channels, within: timeout)
        }
    }

    // MARK: What goes wrong

    /// A message of the bus is not as it should be.
    func refused(_ problem: String, on channel: String) {
        ClusterCounters.increment(self.counters.invalidMessages)
        self.throttles.invalidMessage.log(
            self.logger,
            level: .notice,
            "message of the bus dropped",
            metadata: ["channel": "\(LogText(channel))", "problem": "\(LogText(problem))"]
        )
    }

    /// Waits until the other servers have everything, for at most 2.5 s.
    func leave(isHurried: Bool) async {
        guard let courier = self.courier else { return }
        do {
            try await self.eventLoop.submit { courier.leave() }.get()
            while !isHurried, !courier.mayGo, !Task.isCancelled {
                // Ends by itself: the courier gives the others a time. Cancelled, it goes without them.
                try? await Task.sleep(for: .milliseconds(5))
            }
            let missing = try await self.eventLoop.submit { courier.end() }.get()
            if !missing.isEmpty {
                self.logger.notice("servers may miss messages", metadata: ["count": "\(missing.count)"])
            }
        } catch {
            self.logger.notice("not all messages were sent", metadata: ["reason": "\(LogText(error))"])
        }
    }

    /// Lets go of all that listens.
    func end() {
        self.gaps.finish()
        self.unsentMessages.finish()
    }
}

/// What a server has counted of its talk with others. Any thread counts.
final class ClusterCounters: Sendable {
    let eventsReceived = Atomic<Int>(0)
    let eventsSent = Atomic<Int>(0)
    let invalidMessages = Atomic<Int>(0)
    let repliesIgnored = Atomic<Int>(0)
    let handlersRefused = Atomic<Int>(0)
    let handlerFailures = Atomic<Int>(0)
    let messagesNotSent = Atomic<Int>(0)
    let messagesMissed = Atomic<Int>(0)
    /// Each counts once for each server that it could not reach.
    let messagesUnreachable = Atomic<Int>(0)
    let clientMessagesReceived = Atomic<Int>(0)
    let clientMessagesDropped = Atomic<Int>(0)

    static func increment(_ counter: borrowing Atomic<Int>) {
        counter.wrappingAdd(1, ordering: .relaxed)
    }
}

/// The kinds of lines that other servers can cause.
struct ClusterThrottles: Sendable {
    let invalidMessage = LogThrottle()
    let handlerFailure = LogThrottle()
    let overload = LogThrottle()
    let notSent = LogThrottle()
    let missed = LogThrottle()
    let originals = LogThrottle()
    let overflow = LogThrottle()
}
