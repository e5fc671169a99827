package import NIOCore

/// What this server has delivered of the messages that others sent to its inbox for single clients.
///
/// Of an epoch it delivers the messages one after the other from the first on, and refuses all behind one that it did not
/// deliver, also when the client has come back meanwhile: the sender sends them again, in order (``Locations``). What it has
/// forgotten it refuses, which costs the sender a new search and nothing else.
package struct Holdings: Sendable {
    package struct Limits: Sendable {
        /// Pairs of a sender and an id. 100,000.
        package var maximumCount = 100_000
        /// A pair without messages for so long is forgotten. 120 s.
        package var lifetime = TimeAmount.seconds(120)

        package init() {}
    }

    package enum Decision: Sendable, Equatable {
        case deliver
        /// To be sent back.
        case refuse
        /// It was delivered before.
        case ignore
    }

    private struct Key: Hashable, Sendable {
        var sender: String
        var id: String
    }

    private struct Delivered: Sendable {
        var epoch: UInt64 = 0
        var number: UInt64 = 0
    }

    private var delivered: RecentValues<Key, Delivered>

    package init(limits: Limits = Limits()) {
        self.delivered = RecentValues(maximumCount: limits.maximumCount, lifetime: limits.lifetime)
    }

    package var count: Int { self.delivered.count }

    /// A message has come to the inbox.
    ///
    /// - Parameters:
    ///   - sender: the server that sent it.
    ///   - hasClient: whether the client is connected here.
    package mutating func received(
        from sender: String,
        for id: String,
        epoch: UInt64,
        number: UInt64,
        hasClient: Bool,
        now: NIODeadline
    ) -> Decision {
        self.delivered.forget(now: now, keeping: EmptyCollection())
        let key = Key(sender: sender, id: id)
        return self.delivered.use(key, orMake: Delivered()) { delivered in
            let last = delivered.epoch == epoch ? delivered.number : 0
            if number <= last { return .ignore }
            guard hasClient, number == last + 1 else { return .refuse }
            delivered = Delivered(epoch: epoch, number: number)
            return .deliver
        }
    }
}
