package import NIOCore

/// One life of a server that holds the connection of a client.
package struct Holder: Sendable, Hashable {
    package var name: String
    package var incarnation: String

    package init(name: String, incarnation: String) {
        self.name = name
        self.incarnation = incarnation
    }
}

/// How a message for one client travels.
package enum ClientRoute: Sendable, Equatable {
    /// To all servers. The one that delivers it answers with the number of the ask; nil when none shall answer.
    case shared(ask: UInt64?)
    /// To the inbox of one server, as the `number`th message, from 1, of the epoch.
    case inbox(Holder, epoch: UInt64, number: UInt64)
}

/// Finds the way of messages for single clients: to all servers as long as it is not known which one holds the client,
/// then to that one only. What one sender sends to one id stays in order, and nothing is sent twice.
///
/// The two ways are two streams, of which one can overtake the other. So the way is changed only when nothing is under
/// way on the old one, and messages wait here meanwhile:
/// - to the inbox when the holder has answered the last ask, since it has then handled all before it;
/// - back, or to the inbox of the server to which the client has moved, when the holder has sent back all that it did not
///   deliver. From the first message on that it refuses, it refuses all of the epoch (``Holdings``), so that what comes back
///   is the end of what was sent.
///
/// A holder that has died sends nothing back. What its inbox has delivered to nobody (``unheard(_:epoch:number:ticket:frame:now:)``), and
/// what was sent to it when the client was known to be elsewhere, waits until the holder is suspect and the client
/// is elsewhere, or the holder has left; or until it speaks, for then it asks for what it has missed. What then finds the client
/// nowhere is reported (``takeLost()``).
///
/// A value without a clock and without a lock. Its owner must send messages in the order in which it was told to.
package struct Locations: Sendable {
    package struct Limits: Sendable {
        /// Ids whose holder is remembered. Beyond: the longest unused is located again. 100,000.
        package var maximumIds = 100_000
        /// An id without messages for so long is located again. 60 s.
        package var lifetime = TimeAmount.seconds(60)
        /// Messages that wait for their way. Beyond: refused. 10,000.
        package var maximumHeldMessages = 10_000
        /// Their bytes. Beyond: refused. 8 MiB.
        package var maximumHeldBytes = 8 << 20
        /// The longest time that a message waits for the answer of a server that lives. Beyond: it goes to all servers. 1 s.
        package var maximumHold = TimeAmount.seconds(1)
        /// How long one waits for what Redis says of messages that were sent last to a server that has gone. 250 ms.
        package var outcomeWithin = TimeAmount.milliseconds(250)
        /// A holder that has sent nothing back for so long holds the client after all. Longer than it takes to notice that a
        /// server has died. 5 s.
        package var refusedWithin = TimeAmount.seconds(5)

        package init() {}
    }

    package enum Decision: Sendable, Equatable {
        case send(ClientRoute)
        /// The message is kept; it will be among the dispatches of another call.
        case hold
        /// Too much waits already; the message is not sent.
        case refuse
    }

    /// A message that is to be sent now.
    package struct Dispatch: Sendable, Equatable {
        package var id: String
        package var frame: ByteBuffer
        package var route: ClientRoute
    }

    struct Entry: Sendable {
        enum Phase {
            case asking
            /// The client has a holder; its answer to the last ask is awaited.
            case switching
            case located
            /// The holder has refused a message; the other refusals are awaited.
            case draining
        }

        var phase = Phase.asking
        /// The asks since the phase began.
        var firstAsk: UInt64 = 0
        var lastAsk: UInt64 = 0
        var holder: Holder?
        /// When the client has connected to the holder.
        var connected = NIODeadline.uptimeNanoseconds(0)
        var epoch: UInt64 = 0
        /// Messages of the epoch, and when the last one was sent.
        var sent: UInt64 = 0
        var lastSent = NIODeadline.uptimeNanoseconds(0)
        /// A server that holds an older connection of the client, which it may take for alive.
        var rival: (holder: Holder, since: NIODeadline)?
        /// Where the client has logged in since then, as far as that is known.
        var next: Holder?
        /// Messages that were taken back from a holder and sent elsewhere. Should it live, it sends them back yet.
        var taken: (epoch: UInt64, numbers: Set<UInt64>)?
    }

    /// What waits for the way of one id.
    struct Waiting: Sendable {
        var held: [ByteBuffer] = []
        /// What came back, by the number in the epoch.
        var refused: [UInt64: ByteBuffer] = [:]
        /// Those of them that nobody has heard, by the number: the holder, if it lives, asks for them.
        var unheard: [UInt64: DeliveryTicket] = [:]
        /// The holder has left, or is suspect and the client elsewhere: it is not waited for any more.
        var isGivenUp = false
        var until: NIODeadline

        /// Whether it is not known yet if the holder lives.
        var isUndecided: Bool { !self.unheard.isEmpty && !self.isGivenUp }
    }

    /// What was sent to a holder since the client is known to be elsewhere. A holder that lives sends it back.
    struct Copies: Sendable {
        /// By the number in the epoch.
        var frames: [UInt64: ByteBuffer] = [:]
        /// When the first one was sent.
        let since: NIODeadline
    }

    /// Messages that were taken back from a holder and sent to all, by their asks. Those that nobody answers were lost.
    struct Search: Sendable {
        var asks: Set<UInt64>
        var until: NIODeadline
    }

    let limits: Limits
    /// Takes back a message that nobody has heard, so that its holder cannot ask for it any more.
    let withdraw: @Sendable (DeliveryTicket) -> Withdrawal
    var entries: RecentValues<String, Entry>
    var waiting: [String: Waiting] = [:]
    var copies: [String: Copies] = [:]
    /// Holders whose inbox nobody hears.
    var suspects: Set<Holder> = []
    /// By id.
    var searches: [String: Search] = [:]
    private var lost: [String] = []
    private(set) var heldMessages = 0
    private(set) var heldBytes = 0
    private var lastNumber: UInt64
    /// Messages that came back too late to be sent in their order, and were dropped.
    package private(set) var lateRefusals = 0

    /// - Parameters:
    ///   - start: the first number of asks and epochs. By default a random one, so that what is said of a former life of
    ///     this server is not taken for an answer.
    ///   - withdraw: takes back a message that was ``unheard(_:epoch:number:ticket:frame:now:)``.
    package init(
        limits: Limits = Limits(),
        start: UInt64 = .random(in: 1...(1 << 31)),
        withdraw: @escaping @Sendable (DeliveryTicket) -> Withdrawal
    ) {
        self.limits = limits
        self.withdraw = withdraw
        self.entries = RecentValues(maximumCount: limits.maximumIds, lifetime: limits.lifetime)
        self.lastNumber = start
    }

    package var count: Int { self.entries.count }

    /// Asks how a message is to be sent to a client that is not connected here.
    ///
    /// Asks that follow each other without another call between them have numbers that follow each other.
    ///
    /// - Parameter toAll: whether it must go to all servers, since one of them may hold the client without saying so.
    package mutating func send(_ frame: ByteBuffer, to id: String, toAll: Bool = false, now: NIODeadline) -> Decision {
        self.entries.forget(now: now, keeping: self.waiting.keys)
        if toAll { return self.share(frame, with: id, now) }
        let number = self.lastNumber + 1
        var hasMoved = false
        let wanted = self.entries.use(id, orMake: Entry()) { entry in
            hasMoved = entry.next != nil
            return entry.route(number, now)
        }
        guard let route = wanted else { return self.hold(frame, of: id) ? .hold : .refuse }
        if case .shared = route { self.lastNumber = number }
        if hasMoved, case .inbox(_, _, let number) = route { self.keepCopy(of: frame, number, for: id, now) }
        return .send(route)
    }

    private mutating func keepCopy(of frame: ByteBuffer, _ number: UInt64, for id: String, _ now: NIODeadline) {
        guard self.hasRoom(for: frame) else { return }
        self.copies[id, default: Copies(since: now)].frames[number] = frame
        self.countHeld(frame)
    }

    mutating func dropCopies(of id: String) {
        guard let copies = self.copies.removeValue(forKey: id) else { return }
        for frame in copies.frames.values { self.uncountHeld(frame) }
    }

    /// The ids for which a message was lost since this was called last, once for each message.
    package mutating func takeLost() -> [String] {
        if self.lost.isEmpty { return [] }
        defer { self.lost = [] }
        return self.lost
    }

    mutating func lost(_ id: String, count: Int = 1) {
        self.lost += Array(repeating: id, count: count)
    }

    /// Sends a message to all when what was sent to the holder alone has come to its end.
    private mutating func share(_ frame: ByteBuffer, with id: String, _ now: NIODeadline) -> Decision {
        if self.entries[id]?.phase == .located { self.waitForEnd(of: id, now) }
        guard self.waiting[id] == nil else { return self.hold(frame, of: id) ? .hold : .refuse }
        self.dropCopies(of: id)
        // An answer to an ask before this message says nothing of it.
        self.entries[id] = nil
        return .send(.shared(ask: nil))
    }

    /// The server that messages for the client go to; nil when it is not known.
    package func holder(of id: String) -> Holder? {
        self.entries[id].flatMap { $0.phase == .located ? $0.holder : nil }
    }

    /// The message that was to be sent last could not be sent: its number goes to the next one.
    package mutating func notSent(_ id: String, _ route: ClientRoute) {
        guard case .inbox(_, let epoch, let number) = route, let entry = self.entries[id], entry.epoch == epoch,
            entry.sent == number
        else { return }
        self.entries[id]?.sent -= 1
        if let frame = self.copies[id]?.frames.removeValue(forKey: number) { self.uncountHeld(frame) }
    }

    mutating func nextNumber() -> UInt64 {
        self.lastNumber += 1
        return self.lastNumber
    }

    mutating func cameTooLate(_ id: String) {
        self.lateRefusals += 1
        self.lost(id)
    }

    func hasRoom(for frame: ByteBuffer) -> Bool {
        self.heldMessages < self.limits.maximumHeldMessages
            && self.heldBytes + frame.readableBytes <= self.limits.maximumHeldBytes
    }

    private mutating func hold(_ frame: ByteBuffer, of id: String) -> Bool {
        guard self.hasRoom(for: frame), self.waiting[id] != nil else { return false }
        self.waiting[id]?.held.append(frame)
        self.countHeld(frame)
        return true
    }

    mutating func countHeld(_ frame: ByteBuffer) {
        self.heldMessages += 1
        self.heldBytes += frame.readableBytes
    }

    mutating func uncountHeld(_ frame: ByteBuffer) {
        self.heldMessages -= 1
        self.heldBytes -= frame.readableBytes
    }

    /// Sends what waits for the id on the way that its entry says.
    mutating func release(_ id: String, _ now: NIODeadline) -> [Dispatch] {
        guard let waiting = self.waiting.removeValue(forKey: id) else { return [] }
        let frames = waiting.refused.sorted { $0.key < $1.key }.map(\.value) + waiting.held
        var dispatches: [Dispatch] = []
        for frame in frames {
            self.uncountHeld(frame)
            let number = self.nextNumber()
            guard let route = self.entries.use(id, orMake: Entry(), { $0.route(number, now) }) else { continue }
            dispatches.append(Dispatch(id: id, frame: frame, route: route))
        }
        return dispatches
    }
}

extension Locations.Entry {
    /// - Parameter number: of the ask, if it comes to that.
    /// - Returns: nil when the message must wait.
    mutating func route(_ number: UInt64, _ now: NIODeadline) -> ClientRoute? {
        switch self.phase {
        case .asking:
            if self.firstAsk == 0 { self.firstAsk = number }
            self.lastAsk = number
            return .shared(ask: number)
        case .located:
            guard let holder = self.holder else { return nil }
            self.sent += 1
            self.lastSent = now
            return .inbox(holder, epoch: self.epoch, number: self.sent)
        case .switching, .draining:
            return nil
        }
    }

    /// Begins to ask again.
    mutating func ask() {
        self.phase = .asking
        self.firstAsk = 0
        self.lastAsk = 0
        self.holder = nil
        self.next = nil
    }
}
