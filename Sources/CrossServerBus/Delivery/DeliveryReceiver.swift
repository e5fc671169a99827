package import NIOCore

/// Puts the numbered messages of other servers in order, drops what came before, and asks for what is missing.
///
/// A value without clock and sockets, for one event loop: all links of a bus give their messages to it there.
///
/// ```swift
/// if receiver.received(message, on: channel, over: link, now: now) { handle(message) }
/// for action in receiver.takeActions() { … }
/// ```
///
/// Call ``tick(now:)`` every 5 ms while ``isBusy``, else every 100 ms.
package struct DeliveryReceiver: Sendable {
    struct Key: Hashable, Sendable {
        var incarnation: UInt64
        var channel: String
    }

    struct Held: Sendable {
        var message: ByteBuffer
        var link: BusLink
        var stamp: Stamp
        var isRepeat: Bool
    }

    struct Stream: Sendable {
        var key: Key
        var peer: Int
        /// The number of the message that is due.
        var next: UInt64 = 1
        /// What came before was given on when the channel was subscribed the last time.
        var floor: UInt64 = 0
        /// ``next`` is not known.
        var isPending = false
        /// Not served the short way: nothing was given on yet, and what was sent before the channel was wanted here must
        /// not be; or the life has ended.
        var needsCare = true
        /// Came too early.
        var held: [UInt64: Held] = [:]
        /// The highest number that the sender is known to have used.
        var known: UInt64 = 0
        /// ``known`` when the sender was last asked: what it says of later ones may still be under way.
        var asked: UInt64 = 0
        /// What the sender is to say about its numbers, and what there is to doubt.
        var inquiry = Inquiry()
        /// The sender's uptime when it sent the last one that was given on.
        var uptime: Int64 = 0
        /// How many numbers up to ``known`` are not owed: those before the first one that is, and those that the sender
        /// has passed over.
        var notOwed: UInt64 = 0
        /// When to ask next, while something is missing.
        var askAt: Int64?
        var tries = 0
        var lastAt: Int64
    }

    struct Subscription: Sendable {
        var requestedAt: Int64
        /// Since when it has been in force on all links; nil as long as it is not.
        var inForceSince: Int64?
        var streams: [Int] = []
        /// The last of those that are sent once, by incarnation.
        var once: [UInt64: (number: UInt64, uptime: Int64)] = [:]
    }

    package let name: String
    package let incarnation: UInt64
    let configuration: DeliveryConfiguration
    let start: NIODeadline

    var subscriptions: [String: Subscription] = [:]
    /// Where streams were when their channel was unsubscribed, so that nothing comes twice when it is subscribed again.
    var former: [Key: (next: UInt64, at: Int64)] = [:]
    var peerIndices: [UInt64: Int] = [:]
    var peers: [Peer] = []
    var freePeers: [Int] = []
    var streamIndices: [Key: Int] = [:]
    var streams: [Stream] = []
    var freeStreams: [Int] = []
    /// The stream of the last message: the next one most often belongs to it, too.
    var latest = 0
    /// Streams of which something is missing.
    var incomplete: Set<Int> = []
    var heldBytes = 0
    /// What there is of servers that have not proved that they live.
    var unproved = Unproved()
    var routes = Routes()
    var random: any RandomNumberGenerator & Sendable
    package internal(set) var actions: [DeliveryAction] = []
    var sweptAt: Int64 = 0
    package internal(set) var overflows = ReceiverOverflows()

    /// Lives that are or were live.
    static let maximumPeers = 8_192
    /// By how much the clocks of two servers may drift apart in a minute, and some more.
    static let margin: Int64 = 20_000_000
    /// Sent so much before the subscription was asked for: not owed, and not wanted.
    static let early: Int64 = 30_000_000
    /// What is sent once is worth nothing later.
    static let onceWithin: Int64 = 1_000_000_000

    /// - Parameter random: makes the tokens of questions, which nobody must be able to guess.
    package init(
        name: String,
        incarnation: UInt64,
        configuration: DeliveryConfiguration = DeliveryConfiguration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        now: NIODeadline
    ) {
        self.name = name
        self.incarnation = incarnation
        self.configuration = configuration
        self.random = random
        self.start = now
        // The slot that matches no stream.
        self.streams = [Stream(key: Key(incarnation: 0, channel: ""), peer: 0, isPending: true, lastAt: 0)]
        // Whoever knows the inbox means this life: all that is sent there is owed, also before the subscription is in
        // force on all links.
        let inbox = configuration.inbox(name, incarnation)
        self.subscriptions[inbox] = Subscription(requestedAt: self.time(now), inForceSince: self.time(now))
    }

    func time(_ now: NIODeadline) -> Int64 { Int64(clamping: now.uptimeNanoseconds) }

    /// - Returns: what is to be done; empty when there is nothing. Doing it may bring up more.
    package mutating func takeActions() -> [DeliveryAction] {
        if self.actions.isEmpty { return [] }
        defer { self.actions = [] }
        return self.actions
    }

    /// Whether something is missing, or asked for.
    package internal(set) var isBusy = false

    package var holdBytes: Int { self.heldBytes }

    /// What was counted of a life of another server; nil when nothing is known of it.
    package func ledger(of incarnation: UInt64) -> ReceiverLedger? {
        guard let peer = self.peerIndices[incarnation] else { return nil }
        var ledger = self.peers[peer].ledger
        for index in self.peers[peer].streams {
            let pending = self.pending(index)
            ledger.pending += pending
            ledger.owed += self.settled(index) + pending
        }
        return ledger
    }

    /// The lives of other servers of which something is known, with their names.
    package var senders: [(incarnation: UInt64, name: String, isLive: Bool)] {
        self.peerIndices.compactMap { incarnation, index in
            let peer = self.peers[index]
            guard !peer.name.isEmpty else { return nil }
            return (incarnation: incarnation, name: peer.name, isLive: peer.state == .live)
        }
    }

    private func pending(_ index: Int) -> Int {
        if self.streams[index].isPending { return self.streams[index].held.count }
        return Int(clamping: max(self.streams[index].known + 1, self.streams[index].next) - self.streams[index].next)
    }

    /// How many numbers of the stream were owed and are dealt with.
    func settled(_ index: Int) -> Int {
        self.streams[index].isPending ? 0 : Int(clamping: self.streams[index].next - 1 - self.streams[index].notOwed)
    }

    /// Keeps what was counted of a stream that is forgotten.
    mutating func settle(_ index: Int) {
        self.peers[self.streams[index].peer].ledger.owed += self.settled(index)
    }

    /// Whether messages of the life are known to be missing, or are held back.
    package func missesSome(of incarnation: UInt64) -> Bool {
        guard let peer = self.peerIndices[incarnation] else { return false }
        return self.peers[peer].streams.contains { self.isMissingSome($0) || !self.streams[$0].held.isEmpty }
    }

    // MARK: Messages

    /// Takes a message of a channel. Frames go to ``received(_:over:now:)``.
    ///
    /// - Returns: whether it is to be handled now. What it makes others due is in the actions, and comes after it.
    package mutating func received(
        _ message: ByteBuffer,
        on channel: String,
        over link: BusLink,
        now: NIODeadline
    ) -> Bool {
        guard let stamp = Stamp(endOf: message) else { return true }
        guard stamp.incarnation != self.incarnation else { return false }
        let time = self.time(now)
        if stamp.isOnce { return self.takeOnce(stamp, channel, time) }
        var index = self.latest
        if self.streams[index].key.incarnation != stamp.incarnation || self.streams[index].key.channel != channel {
            index = self.streamIndices[Key(incarnation: stamp.incarnation, channel: channel)] ?? 0
        }
        if self.streams[index].next == stamp.number, !self.streams[index].isPending, !self.streams[index].needsCare,
            self.streams[index].askAt == nil
        {
            self.latest = index
            self.streams[index].next = stamp.number + 1
            self.streams[index].lastAt = time
            self.streams[index].uptime = stamp.uptime
            let peer = self.streams[index].peer
            self.peers[peer].clock.observe(uptime: stamp.uptime, at: time)
            self.peers[peer].ledger.delivered += 1
            return true
        }
        self.take(Held(message: message, link: link, stamp: stamp, isRepeat: false), channel, time)
        return false
    }

    /// A message that is not simply the next one. What is due becomes actions.
    mutating func take(_ held: Held, _ channel: String, _ time: Int64) {
        let stamp = held.stamp
        guard self.subscriptions[channel] != nil, let peer = self.peer(stamp.incarnation, time) else { return }
        guard self.peers[peer].state != .ended else {
            self.peers[peer].ledger.late += 1
            return
        }
        if !held.isRepeat { self.peers[peer].clock.observe(uptime: stamp.uptime, at: time) }
        let key = Key(incarnation: stamp.incarnation, channel: channel)
        guard let index = self.streamIndices[key] else {
            guard let index = self.makeStream(key, peer, time) else { return }
            self.hold(held, index)
            self.begin(index, time)
            return
        }
        self.streams[index].lastAt = time
        guard self.streams[index].isPending || stamp.number >= self.streams[index].next,
            self.streams[index].held[stamp.number] == nil
        else {
            self.peers[peer].ledger.repeats += 1
            if !held.isRepeat { self.doubtPosition(index, stamp, time) }
            return
        }
        let isJump = self.doubtJump(index, to: stamp.number, isFirst: stamp.isFirst)
        self.hold(held, index)
        self.drain(index)
        self.arm(index, time)
        if isJump { self.ask(index, time) }
    }

    private mutating func hold(_ held: Held, _ index: Int) {
        let number = held.stamp.number
        let isDue = !self.streams[index].isPending && number == self.streams[index].next
        self.saw(number, index)
        var held = held
        // A slice would hold on to all the bytes that it came with.
        if !isDue, held.message.storageCapacity > 2 * held.message.readableBytes + 256 {
            held.message = ByteBuffer(bytes: held.message.readableBytesView)
        }
        let size = Self.size(held)
        if !isDue {
            if self.isUnproved(index), self.unproved.bytes + size > self.configuration.unprovedBytes {
                self.overflows.unproved += 1
                return
            }
            // The highest one is dropped: it will be asked for again. A hole is never stepped over.
            while self.heldBytes + size > self.configuration.holdBytes {
                self.overflows.held += 1
                guard let highest = self.streams[index].held.keys.max(), highest > number else { return }
                _ = self.release(highest, index)
            }
        }
        self.streams[index].held[number] = held
        self.count(size, index)
    }

    private static func size(_ held: Held) -> Int { held.message.storageCapacity + 128 }

    mutating func release(_ number: UInt64, _ index: Int) -> Held? {
        guard let held = self.streams[index].held.removeValue(forKey: number) else { return nil }
        self.count(-Self.size(held), index)
        return held
    }

    private mutating func count(_ bytes: Int, _ index: Int) {
        let peer = self.streams[index].peer
        self.heldBytes += bytes
        self.peers[peer].heldBytes += bytes
        if self.peers[peer].state == .unknown { self.unproved.bytes += bytes }
    }

    func isUnproved(_ index: Int) -> Bool { self.peers[self.streams[index].peer].state == .unknown }

    /// Gives on what has become due.
    mutating func drain(_ index: Int) {
        guard !self.streams[index].isPending else { return }
        while let held = self.release(self.streams[index].next, index) {
            self.streams[index].next += 1
            self.streams[index].tries = 0
            self.deliverOwed(held, index)
        }
    }

    /// The sender has not used the numbers up to this.
    mutating func pass(_ index: Int, to number: UInt64) {
        let next = self.streams[index].next
        guard number > next else { return }
        self.streams[index].next = number
        self.streams[index].notOwed += number - next
    }

    private mutating func deliverOwed(_ held: Held, _ index: Int) {
        if !self.deliver(held, index) { self.streams[index].notOwed += 1 }
    }

    func isMissingSome(_ index: Int) -> Bool {
        let stream = self.streams[index]
        return stream.isPending || stream.known >= stream.next || stream.inquiry.isOpen
    }

    /// Asks soon for what is missing, if something is.
    mutating func arm(_ index: Int, _ time: Int64) {
        if !self.isMissingSome(index) {
            self.streams[index].askAt = nil
            self.streams[index].tries = 0
            self.incomplete.remove(index)
        } else if self.streams[index].askAt == nil {
            self.streams[index].askAt = time + self.configuration.askAfter.nanoseconds
            self.streams[index].tries = 0
            self.incomplete.insert(index)
            self.isBusy = true
        }
    }

    /// - Returns: false when it was dropped: it was sent before the channel was wanted here.
    mutating func deliver(_ held: Held, _ index: Int) -> Bool {
        let peer = self.streams[index].peer
        if self.streams[index].needsCare {
            let requestedAt = self.subscriptions[self.streams[index].key.channel]?.requestedAt ?? 0
            if let sent = self.peers[peer].clock.time(ofUptime: held.stamp.uptime), sent < requestedAt - Self.early {
                self.peers[peer].ledger.late += 1
                return false
            }
            self.streams[index].needsCare = false
        }
        self.streams[index].uptime = held.stamp.uptime
        if held.isRepeat { self.peers[peer].ledger.repaired += 1 } else { self.peers[peer].ledger.delivered += 1 }
        if !Stamp.isEmpty(held.message) {
            self.actions.append(.deliver(held.message, on: self.streams[index].key.channel, over: held.link))
        }
        return true
    }

    /// Steps over what is missing up to a number, gives on what is there, and reports the gaps.
    mutating func giveUp(_ index: Int, upTo last: UInt64, _ reason: DeliveryGap.Reason) {
        guard last >= self.streams[index].next else { return }
        for number in self.streams[index].held.keys.sorted() where number <= last {
            self.report(index, upTo: number - 1, reason)
            guard let held = self.release(number, index) else { continue }
            self.streams[index].next = number + 1
            self.deliverOwed(held, index)
        }
        self.report(index, upTo: last, reason)
        self.drain(index)
    }

    private mutating func report(_ index: Int, upTo last: UInt64, _ reason: DeliveryGap.Reason) {
        let first = self.streams[index].next
        guard last >= first else { return }
        self.streams[index].next = last + 1
        self.gap(index, first: first, last: last, reason)
    }

    mutating func gap(_ index: Int, first: UInt64?, last: UInt64, _ reason: DeliveryGap.Reason) {
        let key = self.streams[index].key
        let peer = self.streams[index].peer
        if let first {
            self.peers[peer].ledger.missing += Int(clamping: last - first + 1)
        } else {
            self.peers[peer].ledger.unknownGaps += 1
        }
        self.actions.append(
            .gap(
                DeliveryGap(
                    name: self.peers[peer].name,
                    incarnation: key.incarnation,
                    channel: key.channel,
                    first: first,
                    last: last,
                    reason: reason
                )
            )
        )
    }
}
