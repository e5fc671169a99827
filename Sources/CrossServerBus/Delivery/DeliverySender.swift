import DequeModule
package import NIOCore

/// Numbers what a server sends to others, keeps it for a while, and sends it again over another link when that is needed.
///
/// A value without clock, sockets and lock. Any thread may use it under one lock; hold that lock until the link has the
/// message, so that messages leave in the order of their numbers.
///
/// ```swift
/// switch sender.send(&message, to: channel, now: now) {
/// case .publish(let ticket, let link, let more): // publish on the link, and on each of `more`
/// case .waiting(let id, let replaced):           // an action will name the id
/// case .refused(let reason):                     // an error for the caller
/// }
/// ```
///
/// Tell it with ``update(_:now:)`` who hears what, with ``unanswered(_:over:now:)`` what has no outcome, give it the
/// frames that come for this server, and call ``tick(now:)`` every 10 ms while ``isBusy``, else every 100 ms.
package struct DeliverySender: Sendable {
    package enum Outcome: Sendable, Equatable {
        /// Numbered: publish it on the link, and also on the others when no link reaches everyone.
        case publish(DeliveryTicket, BusLink, more: ArraySlice<BusLink>)
        /// Kept until a link is usable, in the place of an older one if there was one with its key.
        case waiting(UInt64, replacing: UInt64? = nil)
        case refused(DeliveryRefusal)
    }

    struct Entry: Sendable {
        var place: KeptMessages.Place
        var sentAt: Int64
    }

    struct Stream: Sendable {
        var channel: String
        /// The server whose inbox it is; nil when everyone may hear it.
        var audience: UInt64?
        var last: UInt64
        /// The last number that it has not used.
        var floor: UInt64
        /// When the last one was sent; nil when none was.
        var lastAt: Int64?
        /// The newest ones, numbered up to ``last``.
        var entries = Deque<Entry>()
        /// When the newest of those that are not kept any more was sent.
        var evictedAt: Int64?
        var link: BusLink?
        var epoch = -1
        var waiting = WaitingMessages()
        /// Up to this number, messages were sent to who had asked for them.
        var repeatedThrough: UInt64 = 0
        /// Up to this number, messages were sent again because nobody knew what had come of the first time.
        var republishedThrough: UInt64 = 0
        /// Of those that are kept.
        var withdrawn: Set<UInt64> = []
        /// How often the last number was told since the last message.
        var tails = 0
        var isActive = false

        /// Numbers and keeps a message.
        ///
        /// - Returns: whether the last number was to be told already; nil when the message cannot be numbered.
        mutating func add(
            _ message: inout ByteBuffer,
            to kept: inout KeptMessages,
            of incarnation: UInt64,
            at uptime: Int64
        ) -> Bool? {
            let sincePrevious = self.lastAt.map { UInt32(clamping: min(max(uptime - $0, 0), Int64(Stamp.longest))) }
            let stamp = Stamp(
                incarnation: incarnation,
                number: self.last + 1,
                uptime: uptime,
                sincePrevious: sincePrevious ?? Stamp.first
            )
            guard stamp.append(to: &message) else { return nil }
            self.last += 1
            self.lastAt = uptime
            self.tails = 0
            self.entries.append(Entry(place: kept.append(message), sentAt: uptime))
            defer { self.isActive = true }
            return self.isActive
        }
    }

    package let name: String
    package let incarnation: UInt64
    let configuration: DeliveryConfiguration
    let strategy: LinkStrategy
    let start: NIODeadline
    package internal(set) var ledger = SenderLedger()

    var reach = Reach()
    var routes = Routes()
    var suspended: [BusLink: NIODeadline] = [:]
    var indices: [String: Int] = [:]
    var streams: [Stream] = []
    var free: [Int] = []
    /// The stream of the last message: the next one most often belongs to it, too.
    private var latest = 0
    /// No stream that begins or goes on after it was forgotten uses a number up to this.
    var floor: UInt64 = 0
    /// When the last message of a forgotten stream was sent.
    var forgottenUntil: Int64?
    /// Messages to inboxes whose streams are forgotten, by the incarnation of a live server.
    var forgottenSends: [UInt64: Int] = [:]
    /// The streams of all messages that are kept, oldest first.
    var order = Deque<UInt32>()
    var kept = KeptMessages()
    var waitingBytes = 0
    var waitingStreams: Set<Int> = []
    var lastWaiting: UInt64 = 0
    /// The number of the last message that was sent once.
    var lastOnce: UInt64 = 0
    /// Sent, with an outcome that nobody knows, and to be sent again.
    var unsure = Deque<DeliveryTicket>()
    /// Streams whose last number is still to be told.
    var active: [Int] = []
    var turns = 0
    var movedAt: Int64 = 0
    var sweptAt: Int64 = 0
    var tailsAt: Int64 = 0
    var leaving: Leaving?
    /// Of the live servers that have asked for repeats.
    var budgets: [UInt64: AnswerBudget] = [:]
    var random: any RandomNumberGenerator & Sendable

    /// What a message takes besides its bytes.
    private static let overhead = 96

    /// - Parameters:
    ///   - start: the same moment as the membership's, since which the uptime counts.
    ///   - random: makes the tokens, which nobody must be able to guess.
    package init(
        name: String,
        incarnation: UInt64,
        configuration: DeliveryConfiguration = DeliveryConfiguration(),
        strategy: LinkStrategy,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        start: NIODeadline
    ) {
        self.name = name
        self.incarnation = incarnation
        self.configuration = configuration
        self.strategy = strategy
        self.random = random
        self.start = start
    }

    func uptime(_ now: NIODeadline) -> Int64 { (now - self.start).nanoseconds / 1_000_000 }

    /// How many messages were sent to the inbox of a live server.
    package func sent(toInboxOf name: String, _ incarnation: UInt64) -> Int {
        let stream = self.indices[self.configuration.inbox(name, incarnation)].map { self.streams[$0] }
        let sent = stream.map { Int(clamping: $0.last - $0.floor) } ?? 0
        return sent + (self.forgottenSends[incarnation] ?? 0)
    }

    /// Messages that were sent and are kept, in bytes.
    package var historyBytes: Int { self.kept.bytes }
    /// Messages that wait for a usable link, in bytes.
    package var queueBytes: Int { self.waitingBytes }
    /// Whether something waits, or the last number of a stream is still to be told.
    package var isBusy: Bool {
        !self.waitingStreams.isEmpty || !self.unsure.isEmpty || !self.active.isEmpty || self.leaving != nil
    }

    // MARK: Sending

    /// Sends a message that is encoded, and not yet stamped. It must be the only reference to its memory, or it is copied.
    ///
    /// - Parameters:
    ///   - audience: the incarnation whose inbox the channel is; nil for a channel that anyone may hear.
    ///   - key: while it waits, a newer one with the same key on the same channel takes its place.
    package mutating func send(
        _ message: inout ByteBuffer,
        to channel: String,
        audience: UInt64? = nil,
        key: String? = nil,
        now: NIODeadline
    ) -> Outcome {
        guard self.leaving == nil else { return self.refused(.stopping) }
        guard let index = self.stream(channel, audience) else { return self.refused(.tooManyStreams) }
        if self.streams[index].epoch != self.routes.epoch { self.choose(index) }
        guard let link = self.streams[index].link, !self.waits(index) else {
            return self.wait(message, key, index, now)
        }
        guard let ticket = self.number(&message, index, now) else { return self.refused(.cannotBeNumbered) }
        return .publish(ticket, link, more: self.more(index))
    }

    /// Numbers a message that is published now or never: it is not kept, not repeated, and does not wait for others.
    ///
    /// - Returns: the links to publish it on; empty when it is refused.
    package mutating func sendOnce(
        _ message: inout ByteBuffer,
        audience: UInt64? = nil,
        now: NIODeadline
    ) -> Result<[BusLink], DeliveryRefusal> {
        var refusal = DeliveryRefusal.cannotBeNumbered
        var links = audience.map { self.routes.servers[$0] ?? self.routes.usable } ?? self.routes.everyone
        if audience != nil || !self.routes.needsAll { links = Array(links.prefix(1)) }
        let stamp = Stamp(
            incarnation: self.incarnation,
            number: self.lastOnce + 1,
            uptime: self.uptime(now),
            sincePrevious: Stamp.once
        )
        if self.leaving != nil {
            refusal = .stopping
        } else if links.isEmpty {
            refusal = self.routes.usable.isEmpty ? .notNow : .unreachable
        } else if stamp.append(to: &message) {
            self.lastOnce += 1
            self.ledger.once += 1
            return .success(links)
        }
        self.ledger.refused += 1
        return .failure(refusal)
    }

    private func waits(_ index: Int) -> Bool {
        !self.waitingStreams.isEmpty && !self.streams[index].waiting.isEmpty
    }

    /// Links that have to be taken beside the stream's own.
    func more(_ index: Int) -> ArraySlice<BusLink> {
        guard self.routes.needsAll, self.streams[index].audience == nil else { return [] }
        return self.routes.everyone.dropFirst()
    }

    mutating func refused(_ reason: DeliveryRefusal) -> Outcome {
        self.ledger.refused += 1
        return .refused(reason)
    }

    private mutating func stream(_ channel: String, _ audience: UInt64?) -> Int? {
        if self.streams.indices.contains(self.latest), self.streams[self.latest].channel == channel {
            return self.latest
        }
        if let index = self.indices[channel] {
            self.latest = index
            return index
        }
        guard self.indices.count < self.configuration.maximumStreams else { return nil }
        let stream = Stream(channel: channel, audience: audience, last: self.floor, floor: self.floor)
        let index = self.free.popLast() ?? self.streams.count
        if index == self.streams.count { self.streams.append(stream) } else { self.streams[index] = stream }
        self.indices[channel] = index
        return index
    }

    mutating func choose(_ index: Int) {
        let candidates: [BusLink]
        if let audience = self.streams[index].audience {
            candidates = self.routes.servers[audience] ?? self.routes.usable
        } else {
            candidates = self.routes.everyone
        }
        self.streams[index].epoch = self.routes.epoch
        let needsAll = self.routes.needsAll && self.streams[index].audience == nil
        guard candidates.count > 1, !needsAll else {
            self.streams[index].link = candidates.first
            return
        }
        switch self.strategy {
        case .first: self.streams[index].link = candidates[0]
        case .roundRobin: self.streams[index].link = candidates[(index + self.turns) % candidates.count]
        case .random:
            var hash = UInt64(index &+ self.turns &* 65_599) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
            self.streams[index].link = candidates[Int((hash >> 7) % UInt64(candidates.count))]
        }
    }

    static func size(_ message: ByteBuffer, _ key: String? = nil) -> Int {
        message.storageCapacity + Self.overhead + (key?.utf8.count ?? 0)
    }

    mutating func number(_ message: inout ByteBuffer, _ index: Int, _ now: NIODeadline) -> DeliveryTicket? {
        // In one access: each one to an element has its price, and this is done for every message.
        let uptime = self.uptime(now)
        guard let wasActive = self.streams[index].add(&message, to: &self.kept, of: self.incarnation, at: uptime)
        else { return nil }
        if !wasActive { self.active.append(index) }
        if self.leaving != nil { self.leaving?.isOutOfDate = true }
        self.order.append(UInt32(index))
        if self.kept.bytes > self.configuration.historyBytes { self.evictSome() }
        self.ledger.sent += 1
        return DeliveryTicket(stream: UInt32(index), number: self.streams[index].last)
    }

    /// Many at once, which costs less.
    private mutating func evictSome() {
        let limit = self.configuration.historyBytes
        while self.kept.bytes > limit - min(limit / 16, 64 << 10), self.order.count > 1 { self.evict() }
    }

    private mutating func evict() {
        guard let index = self.order.popFirst().map(Int.init), let entry = self.streams[index].entries.popFirst()
        else { return }
        self.kept.removeFirst(entry.place)
        self.streams[index].evictedAt = entry.sentAt
        if !self.streams[index].withdrawn.isEmpty {
            let number = self.streams[index].last - UInt64(self.streams[index].entries.count)
            self.streams[index].withdrawn.remove(number)
        }
    }

    /// Tells who hears what, whenever the membership has said something and at every tick of it.
    package mutating func update(_ reach: Reach, now: NIODeadline) -> [DeliveryAction] {
        // Who comes while this server leaves has to have everything, too; who has gone does not.
        if self.leaving != nil, self.reach.servers.keys != reach.servers.keys { self.leaving?.isOutOfDate = true }
        if self.budgets.count > reach.servers.count {
            self.budgets = self.budgets.filter { reach.servers[$0.key] != nil }
        }
        self.reach = reach
        let proved = Set(reach.links.map(\.link))
        self.suspended = self.suspended.filter { proved.contains($0.key) }
        let epoch = self.routes.epoch
        self.routes.update(reach, suspended: self.suspended)
        return epoch == self.routes.epoch ? [] : self.flush(now)
    }

    // MARK: Time

    package mutating func tick(now: NIODeadline) -> [DeliveryAction] {
        let uptime = self.uptime(now)
        let oldest = uptime - self.configuration.historyTime.nanoseconds / 1_000_000
        while let index = self.order.first.map(Int.init), let first = self.streams[index].entries.first,
            first.sentAt < oldest
        {
            self.evict()
        }
        if self.strategy != .first, uptime - self.movedAt >= self.configuration.moveEvery.nanoseconds / 1_000_000 {
            self.movedAt = uptime
            self.turns += 1
            self.routes.epoch += 1
        }
        var actions = self.waitingStreams.isEmpty && self.unsure.isEmpty ? [] : self.flush(now)
        self.tellTails(uptime, &actions)
        self.sayGoodbye(uptime, &actions)
        if uptime - self.sweptAt > 10_000 {
            self.sweptAt = uptime
            self.forgetIdle(uptime)
        }
        return actions
    }

    /// A stream that nobody can ask for any more is forgotten. If it goes on, it does so above the floor, and says so.
    private mutating func forgetIdle(_ uptime: Int64) {
        let oldest = uptime - 2 * self.configuration.historyTime.nanoseconds / 1_000_000
        for (channel, index) in self.indices {
            let stream = self.streams[index]
            guard stream.entries.isEmpty, stream.waiting.isEmpty, !stream.isActive, (stream.lastAt ?? 0) < oldest
            else { continue }
            self.floor = max(self.floor, stream.last)
            if let lastAt = stream.lastAt { self.forgottenUntil = max(self.forgottenUntil ?? lastAt, lastAt) }
            if let audience = stream.audience {
                self.forgottenSends = self.forgottenSends.filter { self.reach.servers[$0.key] != nil }
                self.forgottenSends[audience, default: 0] += Int(clamping: stream.last - stream.floor)
            }
            self.indices[channel] = nil
            self.streams[index] = Stream(channel: "", audience: nil, last: 0, floor: 0)
            self.free.append(index)
        }
    }

    /// Refuses what still waits. Nothing is sent afterwards.
    package mutating func end() -> [DeliveryAction] {
        let refusals = self.waitingStreams.sorted().flatMap { index in
            let stream = self.streams[index]
            return stream.waiting.ids.map { DeliveryAction.refuse(waiting: $0, on: stream.channel, .stopping) }
        }
        for index in self.waitingStreams { self.streams[index].waiting = WaitingMessages() }
        self.waitingStreams = []
        self.waitingBytes = 0
        self.ledger.refused += refusals.count
        if self.leaving == nil { self.leaving = Leaving(deadline: 0, nextAt: .max) }
        return refusals
    }

    /// For frames that this server sends.
    func frame(_ body: DeliveryFrame.Body, to target: UInt64) -> ByteBuffer {
        DeliveryFrame(name: self.name, incarnation: self.incarnation, target: target, body: body).encoded
    }
}
