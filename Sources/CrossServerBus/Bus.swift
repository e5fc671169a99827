public import NIOCore

/// Publish/subscribe between the nodes of a cluster, over one or several links.
///
/// A link is one way between nodes, for example one Redis node. A bus subscribes on every link and publishes each
/// message on one of them. Its messages are bytes; what they mean is the business of the node that uses it.
///
/// Every method may be called from any thread.
public protocol Bus: Sendable {
    /// Connects, and keeps the links connected until the task is cancelled; then closes them and returns.
    ///
    /// A bus runs once. Links that cannot be reached are tried again for ever and reported to the receiver: that is no
    /// error.
    ///
    /// - Throws: ``BusError`` with `invalidConfiguration` or `alreadyRun`.
    func run(_ receiver: any BusReceiver) async throws

    /// Publishes a message on one usable link, if possible one over which this node hears the others too: whoever is
    /// asked answers there.
    ///
    /// It may be called while the caller holds a lock that keeps messages in order: it puts the message into a queue, and calls
    /// nobody back but the completion.
    ///
    /// - Parameter link: the one to take while it is usable; nil for any.
    /// - Parameter completion: called exactly once, on any thread, with what came of it; not called when the method
    ///   throws. Without one a failure is only counted and logged.
    /// - Throws: ``BusError`` with `notConnected`, `tooManyBytesInFlight` or `messageTooLarge`: nothing was sent.
    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError)

    /// Wants the messages of the channels from now on. Returns at once: subscribing goes on by itself, also after a
    /// link was lost and came back. A channel that is wanted already stays so.
    func subscribe(to channels: [String])

    /// Wants them no more.
    func unsubscribe(from channels: [String])

    /// Waits until the channels are subscribed on every link that is usable.
    ///
    /// - Throws: ``BusError`` with `notConnected` when no link is usable within the timeout or one does not answer,
    ///   `subscriptionFailed` when a link refuses; `CancellationError`.
    func subscribed(to channels: [String], within timeout: Duration) async throws

    /// Asks how many subscribers the channels have on a link.
    ///
    /// - Parameter completion: called exactly once, on any thread, with a number for each channel; nil when the link
    ///   cannot say, as a Redis Cluster, whose members each know of their own subscribers only.
    func countSubscribers(
        of channels: [String],
        over link: BusLink,
        completion: @escaping @Sendable ([Int]?) -> Void
    )

    /// Waits until what was published has an outcome.
    ///
    /// - Throws: ``BusError`` with `outcomeUnknown` when that takes longer; `CancellationError`.
    func drained(within timeout: Duration) async throws

    /// Whether the channel is subscribed on every link that is usable, and there is one. Only on ``eventLoop``.
    func isSubscribed(to channel: String) -> Bool

    /// The wanted channels whose subscription is in force on none of the links. Empty where a channel is heard from the
    /// moment in which it is wanted. Only on ``eventLoop``.
    func channelsNotSubscribed(over links: [BusLink]) -> [UnsubscribedChannel]

    /// Where the receiver is called.
    var eventLoop: any EventLoop { get }

    /// How a link is chosen for a message.
    var strategy: SelectionStrategy { get }

    /// The links as they are now; with the strategy ``SelectionStrategy/fastest`` the fastest first.
    var links: [BusLinkStatus] { get }

    /// Whether messages are heard over the link now. Asked for every request that is published.
    func hears(_ link: BusLink) -> Bool
}

extension Bus {
    public func hears(_ link: BusLink) -> Bool {
        self.links.contains { $0.link == link && $0.canReceive }
    }

    public func channelsNotSubscribed(over links: [BusLink]) -> [UnsubscribedChannel] { [] }
}

extension Bus {
    /// Publishes a message on any usable link.
    ///
    /// - Parameter completion: as for ``publish(_:to:over:completion:)``.
    /// - Throws: ``BusError`` with `notConnected`, `tooManyBytesInFlight` or `messageTooLarge`: nothing was sent.
    public func publish(
        _ message: ByteBuffer,
        to channel: String,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)? = nil
    ) throws(BusError) {
        try self.publish(message, to: channel, over: nil, completion: completion)
    }
}

/// A bus that tells of failed messages by their numbers: a closure for each would cost as much as its publishing.
package protocol NumberingBus: Bus {
    /// Publishes as ``Bus/publish(_:to:over:completion:)`` does, and tells the receiver of a failure alone.
    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink,
        number: UInt64
    ) throws(BusError)
}

/// The receiver of a ``NumberingBus``.
package protocol NumberingBusReceiver: BusReceiver {
    /// A message of a wanted channel.
    ///
    /// - Parameter time: when it was read. Clocks are slow, and many messages are read at once.
    func received(_ message: ByteBuffer, on channel: String, over link: BusLink, at time: NIODeadline)

    /// It is not known that the link has taken the message. On any thread.
    func publishFailed(_ number: UInt64, over link: BusLink)

    /// A message of a wanted channel that the bus does not hand on, and why.
    func refused(_ problem: String, on channel: String)
}

/// What uses a bus. Its methods are called on ``Bus/eventLoop`` and must not block.
public protocol BusReceiver: Sendable {
    /// A message of a wanted channel. Messages of one link come in the order in which the link carried them.
    func received(_ message: ByteBuffer, on channel: String, over link: BusLink)

    /// A link became usable or unusable, in one direction.
    func linkChanged(_ status: BusLinkStatus)

    /// The link has not answered what was published on it for a while. It counts as usable until it is given up; what is
    /// published meanwhile had better take another one.
    func linkStalled(_ link: BusLink)

    /// The server that uses the bus, for what the bus reports. Empty by default.
    var serverName: String { get }
}

extension BusReceiver {
    public func linkStalled(_ link: BusLink) {}

    public var serverName: String { "" }
}

/// Names one link of a bus. Numbers are never used again in the life of a bus.
public struct BusLink: Sendable, Hashable {
    public let number: Int

    public init(number: Int) {
        self.number = number
    }
}

/// How a link is.
public struct BusLinkStatus: Sendable, Hashable {
    public var link: BusLink
    /// For people: an address without secrets.
    public var name: String
    /// Whether messages can be published on the link.
    public var canPublish: Bool
    /// Whether messages are heard over the link: every wanted channel is subscribed.
    public var canReceive: Bool
    /// What hinders the link, for people: why there is no connection, or what is said to what is published. Nil: nothing.
    public var problem: String?

    public init(link: BusLink, name: String, canPublish: Bool, canReceive: Bool, problem: String? = nil) {
        self.link = link
        self.name = name
        self.canPublish = canPublish
        self.canReceive = canReceive
        self.problem = problem
    }
}

extension BusLinkStatus: CustomStringConvertible {
    /// The name, and what hinders the link.
    public var description: String { self.problem.map { "\(self.name) (\($0))" } ?? self.name }
}

/// A channel that is wanted and not heard.
public struct UnsubscribedChannel: Sendable, Hashable {
    public var channel: String
    /// Why a link does not subscribe it; nil when the answer is outstanding.
    public var refusal: String?

    public init(channel: String, refusal: String?) {
        self.channel = channel
        self.refusal = refusal
    }
}

/// A message that was published.
public struct Publication: Sendable, Hashable {
    /// The link that took it.
    public var link: BusLink
    /// How many subscribers the link gave it to; nil when the link does not know of all, as in a Redis Cluster.
    public var receivers: Int?

    public init(link: BusLink, receivers: Int?) {
        self.link = link
        self.receivers = receivers
    }
}

/// What a bus could not do.
public struct BusError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        public let description: String

        /// No link is usable.
        public static let notConnected = Code(description: "notConnected")
        /// A link is usable, but none that the server hears for whom the message is.
        public static let unreachable = Code(description: "unreachable")
        /// More bytes wait to be published than the configuration allows.
        public static let tooManyBytesInFlight = Code(description: "tooManyBytesInFlight")
        /// The message is longer than the configuration allows.
        public static let messageTooLarge = Code(description: "messageTooLarge")
        /// The link was lost, or did not answer in time, after the message was sent: it may have been carried or not.
        public static let outcomeUnknown = Code(description: "outcomeUnknown")
        /// The link refused the message.
        public static let refused = Code(description: "refused")
        /// A link refused a subscription.
        public static let subscriptionFailed = Code(description: "subscriptionFailed")
        public static let invalidConfiguration = Code(description: "invalidConfiguration")
        /// A bus runs once.
        public static let alreadyRun = Code(description: "alreadyRun")
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(self.code): \(self.message)" }
}
