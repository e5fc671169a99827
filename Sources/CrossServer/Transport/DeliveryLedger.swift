/// What has become of the messages between servers, as one of them has counted it since its start. Between two lives of
/// servers, when nothing is on its way any more:
///
///     sent by the one, on channels that the other hears = delivered + repaired + missed at the other
///
/// The left side is what the numbers of the messages say, so that the two sides are found out independently.
public struct DeliveryLedger: Sendable, Hashable, Codable {
    /// The life of the server that has counted.
    public var incarnation = ""
    /// Messages that this server has sent to others; each counts once, however many hear it.
    public var sent = 0
    /// Of those: to one server alone, by the names of the live servers. The others are for all who hear their channel.
    public var sentTo: [String: Int] = [:]
    /// Of those: published again over another link, because nobody could tell whether the first time counted.
    public var republished = 0
    /// Of those: sent again because a server asked; each counts as often as it was.
    public var repeated = 0
    /// Messages that were sent with best effort. Not among those sent.
    public var bestEffort = 0
    /// Messages that were not sent; the caller got an error.
    public var refused = 0
    /// Messages that were not sent, since a newer one with the same key took their place while they waited.
    public var replaced = 0
    /// Messages for all who hear a channel that could not reach a server that lives: each counts once for each such server.
    public var unreachable = 0
    /// By the name of the sending server. Those that have gone stay for some minutes.
    public var received: [String: Received] = [:]

    /// What another server has sent.
    public struct Received: Sendable, Hashable, Codable {
        /// The life of the sender.
        public var incarnation = ""
        /// What the sender has sent on channels that this server hears, by the numbers of its messages.
        public var sent = 0
        /// That came by themselves.
        public var delivered = 0
        /// That came after the sender was asked for them.
        public var repaired = 0
        /// That will never come: reported as ``MissedMessages``.
        public var missed = 0
        /// That are waited for, or wait for others that come before them.
        public var pending = 0
        /// That came again, and were dropped. Not among those sent.
        public var repeats = 0
        /// That came after the sender's end, or were sent before the channel was wanted here, and were dropped. Not among
        /// those sent.
        public var late = 0
        /// ``MissedMessages`` without a count. Not among those sent.
        public var unknownGaps = 0
        /// Sent with best effort, and not too late. Not among those sent.
        public var bestEffort = 0

        /// Whether all that was sent is accounted for.
        public var isBalanced: Bool { self.sent == self.delivered + self.repaired + self.missed + self.pending }
    }

    public var isBalanced: Bool { self.received.values.allSatisfy(\.isBalanced) }
}
