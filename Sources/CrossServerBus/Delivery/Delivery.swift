package import NIOCore

/// How messages between servers are kept, repeated and waited for. The reasons are in Documentation/delivery.md.
package struct DeliveryConfiguration: Sendable {
    /// What a sender keeps to repeat it. 32 MiB.
    package var historyBytes = 32 << 20
    /// For how long it keeps it. 30 s.
    package var historyTime = TimeAmount.seconds(30)
    /// What may wait for a usable link. 16 MiB.
    package var queueBytes = 16 << 20
    /// For how long it may wait. Must be below ``historyTime``. 9 s.
    package var queueTime = TimeAmount.seconds(9)
    /// What a receiver holds back until what comes before it is there. 32 MiB.
    package var holdBytes = 32 << 20
    /// Of that for servers that have not proved that they live. 1 MiB.
    package var unprovedBytes = 1 << 20
    /// Servers of which messages came and that have not proved that they live, and their streams. What is dropped is asked for
    /// once they have. 1,024.
    package var maximumUnproved = 1_024
    /// A channel that is idle for so long has its last number told. 250 ms.
    package var tailAfter = TimeAmount.milliseconds(250)
    /// How long a receiver waits for an early message's predecessors before it asks. 5 ms.
    package var askAfter = TimeAmount.milliseconds(5)
    /// How often a sender goes on to another link with the strategies random and round-robin. 5 s.
    package var moveEvery = TimeAmount.seconds(5)
    /// Channels of one sender, and channels of all senders that a receiver knows. 262,144.
    package var maximumStreams = 262_144
    /// Before the name of a server in the name of its inbox.
    package var inboxPrefix = "csbp:node:"
    package var clusterChannel = "csbp:cluster"

    package init() {}

    func inbox(_ name: String, _ incarnation: UInt64) -> String {
        "\(self.inboxPrefix)\(name):\(String(incarnation, radix: 36))"
    }
}

/// How a stream of messages chooses among links that reach all who must hear.
package enum LinkStrategy: Sendable {
    /// Another one for every stream, in an order that looks random.
    case random
    /// The streams spread over the links in turn.
    case roundRobin
    /// The first link in the order of ``Reach``.
    case first
}

/// Names a message that was sent.
package struct DeliveryTicket: Sendable, Hashable {
    package var stream: UInt32
    package var number: UInt64

    /// Both: a number has 40 bits, and there are fewer than 2^24 streams.
    package var packed: UInt64 { UInt64(self.stream) << 40 | self.number }

    package init(packed: UInt64) {
        self.init(stream: UInt32(packed >> 40), number: packed & Stamp.maximumNumber)
    }

    init(stream: UInt32, number: UInt64) {
        self.stream = stream
        self.number = number
    }
}

/// What becomes of a message that is taken back.
package enum Withdrawal: Sendable, Equatable {
    /// Nobody gets it any more.
    case withdrawn
    /// Somebody has asked for it, and gets it.
    case repeated
    /// It was published twice, and nobody knows what came of the first time.
    case uncertain
}

/// What the owner of a ``DeliverySender`` or ``DeliveryReceiver`` has to do, in the order given.
package enum DeliveryAction: Sendable, Equatable {
    /// A numbered message. Its failure, or having no answer within 200 ms, has to be told with the ticket.
    ///
    /// `waiting` is the id under which the message waited, if it did: it has left the queue.
    case publish(ByteBuffer, to: String, over: BusLink, DeliveryTicket, waiting: UInt64?)
    /// A frame of the delivery itself. What comes of it does not matter.
    case tell(ByteBuffer, to: String, over: BusLink)
    /// A message that waited, and cannot be sent.
    case refuse(waiting: UInt64, on: String, DeliveryRefusal)
    /// A message that is the next of its stream.
    case deliver(ByteBuffer, on: String, over: BusLink)
    case gap(DeliveryGap)
}

/// Why a message was not sent.
package enum DeliveryRefusal: Error, Sendable, Hashable {
    /// No link is usable, and as many bytes wait as may.
    case queueFull
    /// No link became usable in time.
    case expired
    /// A link is usable, but none that the receiver hears.
    case unreachable
    /// No link is usable, and the message is to be sent now or never.
    case notNow
    case tooManyStreams
    /// It is neither a MessagePack map nor a JSON object.
    case cannotBeNumbered
    case stopping
}

/// Messages that a receiver will never get.
package struct DeliveryGap: Sendable, Hashable {
    package enum Reason: String, Sendable {
        /// The sender does not keep them any more.
        case notKept
        /// The sender's life has ended.
        case ended
    }

    package var name: String
    package var incarnation: UInt64
    /// Nil when it is not known which channels had messages: this server heard nothing for so long that the sender has
    /// forgotten them.
    package var channel: String?
    /// Nil when it is not known which was the first.
    package var first: UInt64?
    package var last: UInt64
    package var reason: Reason
}

/// What a sender has counted.
package struct SenderLedger: Sendable, Hashable {
    /// Numbered.
    package var sent = 0
    /// Published again, because nobody can tell whether the first time counted.
    package var republished = 0
    /// Sent again, because a receiver asked.
    package var repeated = 0
    /// Requests for repeats from who is no live server.
    package var unanswered = 0
    /// Requests of live servers that have asked for too much.
    package var overBudget = 0
    /// Never numbered: the caller got the error.
    package var refused = 0
    /// Sent once, and not among those above.
    package var once = 0
    /// Never numbered: a newer one with the same key took its place while it waited.
    package var replaced = 0
}

/// What a receiver has counted of one life of another server, over all channels.
///
/// What is owed is told by the sender's numbers, and the rest is counted message by message:
///
///     owed = delivered + repaired + missing + pending
package struct ReceiverLedger: Sendable, Hashable {
    /// Sent by the other server, for all that is known, since the first message that it owed.
    package var owed = 0
    /// Given on as they came.
    package var delivered = 0
    /// Given on after the sender had been asked for them.
    package var repaired = 0
    /// Reported as missing, with their numbers.
    package var missing = 0
    /// Held back, or asked for.
    package var pending = 0
    /// Gaps of which nobody knows how many messages, if any, they are.
    package var unknownGaps = 0
    /// Given on of those that are sent once; none of the others counts these, but ``repeats`` and ``late``.
    package var once = 0
    /// Came again, and were dropped.
    package var repeats = 0
    /// Came after the sender's life had ended, or were sent before the channel was subscribed, and were dropped.
    package var late = 0
    package var requests = 0
}

/// What a receiver has dropped because there was too much of it. All of it is asked for again, but for the streams.
package struct ReceiverOverflows: Sendable, Hashable {
    /// Messages of servers that have not proved that they live, of which too many are known, or too much is held.
    package var unproved = 0
    /// Messages that came too early, while too much was held.
    package var held = 0
    /// Messages of streams that are one too many.
    package var streams = 0
    /// Live servers that are one too many.
    package var peers = 0
}
