import CrossServerBus
import NIOCore
import Synchronization

/// Carries messages to other servers and from them, so that none is lost, repeated or overtaken: does what
/// ``DeliverySender`` and ``DeliveryReceiver`` decide.
final class Courier: Sendable {
    /// With the ticket when the message was numbered, and its publication has succeeded.
    typealias Completion = @Sendable (Result<Publication, BusError>, DeliveryTicket?) -> Void

    let bus: any Bus
    private let numberingBus: (any NumberingBus)?
    private let sending: Mutex<Sending>
    let receiving: NIOLoopBoundBox<Receiving>
    private let isTicking = Atomic(false)

    private struct Sending: Sendable {
        var sender: DeliverySender
        /// Memory for the next message, if the last one was copied to where it is kept.
        var spare: ByteBuffer?
        /// Of messages that wait for a link.
        var waiting: [UInt64: Completion] = [:]
        /// Of messages that have to be published again.
        var unsure: [DeliveryTicket: (completion: Completion, since: NIODeadline)] = [:]
        /// What has failed since it was last told.
        var failed: [(ticket: DeliveryTicket, link: BusLink)] = []

        mutating func reuse(_ bytes: inout ByteBuffer) {
            guard bytes.storageCapacity <= 4 << 10 else { return }
            bytes.clear()
            self.spare = bytes
            bytes = ByteBuffer()
        }
    }

    final class Receiving {
        var receiver: DeliveryReceiver
        /// Channels whose subscription is not known to be in force.
        var pending: Set<String> = []
        /// Until the end: it holds the courier.
        var delegate: (any Delegate)?
        var isTicking = false

        init(_ receiver: DeliveryReceiver) {
            self.receiver = receiver
        }
    }

    private static let fastTick = TimeAmount.milliseconds(5)

    init(bus: any Bus, name: String, incarnation: UInt64, channels: ClusterChannels, now: NIODeadline) {
        self.bus = bus
        self.numberingBus = bus as? any NumberingBus
        var configuration = DeliveryConfiguration()
        configuration.clusterChannel = channels.cluster
        configuration.inboxPrefix = channels.inboxPrefix
        let strategy: LinkStrategy =
            switch bus.strategy {
            case .random: .random
            case .roundRobin: .roundRobin
            default: .first
            }
        let sender = DeliverySender(
            name: name,
            incarnation: incarnation,
            configuration: configuration,
            strategy: strategy,
            start: now
        )
        self.sending = Mutex(Sending(sender: sender))
        let receiver = DeliveryReceiver(name: name, incarnation: incarnation, configuration: configuration, now: now)
        self.receiving = .makeBoxSendingValue(Receiving(receiver), eventLoop: bus.eventLoop)
    }
}

// Sending, on any thread
extension Courier {
    /// Publishes a message, or lets it wait for a link.
    ///
    /// - Parameters:
    ///   - audience: the incarnation whose inbox the channel is; nil for a channel that anyone may hear.
    ///   - key: while it waits, a newer one with the same key on the same channel takes its place. For messages whose
    ///     outcome nobody awaits.
    /// - Throws: ``BusError`` or ``BusMessageError``: nothing was sent.
    func publish(
        _ message: some BusWritable,
        as encoding: BusEncoding,
        to channel: String,
        audience: UInt64?,
        key: String? = nil,
        completion: Completion?
    ) throws {
        assert(key == nil || completion == nil)
        var bytes = try self.bytes(of: message, as: encoding)
        let now = NIODeadline.now()
        let failure: BusError? = self.sending.withLock { sending in
            switch sending.sender.send(&bytes, to: channel, audience: audience, key: key, now: now) {
            case .publish(let ticket, let link, let more):
                let failure = self.post(bytes, to: channel, ticket, over: link, &sending, completion)
                guard failure == nil else { return failure }
                for link in more { _ = self.post(bytes, to: channel, ticket, over: link, &sending, nil) }
                sending.reuse(&bytes)
            case .waiting(let id, _):
                if let completion { sending.waiting[id] = completion }
            case .refused(let reason):
                return BusError(reason)
            }
            return nil
        }
        self.tickSoon()
        if let failure { throw failure }
    }

    /// Publishes a message, now or never. It is not repeated.
    ///
    /// - Throws: ``BusError`` or ``BusMessageError``: nothing was sent.
    func publishOnce(
        _ message: some BusWritable,
        as encoding: BusEncoding,
        to channel: String,
        audience: UInt64?,
        completion: Completion?
    ) throws {
        var bytes = try self.bytes(of: message, as: encoding)
        try self.sending.withLock { sending throws(BusError) in
            let outcome = sending.sender.sendOnce(&bytes, audience: audience, now: .now())
            let links = try outcome.mapError { BusError($0) }.get()
            // Who hears several links drops what comes again.
            try self.bus.publish(
                bytes,
                to: channel,
                over: links[0],
                completion: Self.unnumbered(completion)
            )
            for link in links.dropFirst() { self.tell(bytes, to: channel, over: link) }
        }
    }

    /// For a message without a number.
    static func unnumbered(_ completion: Completion?) -> (@Sendable (Result<Publication, BusError>) -> Void)? {
        guard let completion else { return nil }
        return { result in completion(result, nil) }
    }

    /// Not under the lock: a long message takes its time.
    private func bytes(of message: some BusWritable, as encoding: BusEncoding) throws(BusMessageError) -> ByteBuffer {
        var bytes = self.sending.withLock { $0.spare.take() } ?? ByteBuffer()
        try message.write(into: &bytes, as: encoding)
        return bytes
    }

    /// Under the lock, so that messages leave in the order of their numbers.
    ///
    /// - Returns: why the message was not sent and its number taken back.
    private func post(
        _ message: ByteBuffer,
        to channel: String,
        _ ticket: DeliveryTicket,
        over link: BusLink,
        _ sending: inout Sending,
        _ completion: Completion?
    ) -> BusError? {
        do throws(BusError) {
            if completion == nil, let bus = self.numberingBus {
                try bus.publish(message, to: channel, over: link, number: ticket.packed)
                return nil
            }
            try self.bus.publish(message, to: channel, over: link) { result in
                // What a link has refused is numbered all the same, and asked for by who misses it.
                if case .failure = result {
                    // Not here: this may be called while the lock is held.
                    self.bus.eventLoop.execute { self.failed(ticket, over: link, completion) }
                } else {
                    completion?(result, ticket)
                }
            }
            return nil
        } catch {
            if error.code != .notConnected, sending.sender.cancel(ticket) { return error }
            sending.failed.append((ticket, link))
            if let completion { sending.unsure[ticket] = (completion, .now()) }
            return nil
        }
    }

    /// Any thread, also while the lock is held.
    func publishFailed(_ number: UInt64, over link: BusLink) {
        self.bus.eventLoop.execute { self.failed(DeliveryTicket(packed: number), over: link, nil) }
    }

    private func failed(_ ticket: DeliveryTicket, over link: BusLink, _ completion: Completion?) {
        self.sending.withLock { sending in
            sending.failed.append((ticket, link))
            if let completion { sending.unsure[ticket] = (completion, .now()) }
        }
        self.tickSoon()
    }

    /// The link does not answer. What is under way on it may arrive yet, and is asked for by who misses it; what comes now
    /// takes another one. On the event loop.
    func stalled(_ link: BusLink) {
        self.change { sender, now in sender.unanswered(EmptyCollection(), over: link, now: now) }
        self.receiving.value.delegate?.doubt(link)
    }

    /// - Returns: what has to be done when the lock is free again.
    private func perform(_ actions: [DeliveryAction], _ sending: inout Sending) -> [() -> Void] {
        var completions: [() -> Void] = []
        for action in actions {
            switch action {
            case .publish(let message, let channel, let link, let ticket, let waiting):
                let completion =
                    waiting.flatMap { sending.waiting.removeValue(forKey: $0) }
                    ?? sending.unsure.removeValue(forKey: ticket)?.completion
                if let error = self.post(message, to: channel, ticket, over: link, &sending, completion) {
                    completions.append { completion?(.failure(error), nil) }
                }
            case .tell(let message, let channel, let link):
                self.tell(message, to: channel, over: link)
            case .refuse(let waiting, let channel, let reason):
                let error = BusError(reason)
                let completion = sending.waiting.removeValue(forKey: waiting)
                completions.append {
                    if let completion {
                        completion(.failure(error), nil)
                    } else {
                        self.receiving.value.delegate?.unsent(on: channel, error)
                    }
                }
            case .deliver, .gap: break
            }
        }
        return completions
    }

    func tell(_ frame: ByteBuffer, to channel: String, over link: BusLink) {
        // What is lost is asked for again.
        try? self.bus.publish(frame, to: channel, over: link, completion: nil)
    }

    func change(_ body: (inout DeliverySender, NIODeadline) -> [DeliveryAction]) {
        let now = NIODeadline.now()
        let completions = self.sending.withLock { sending in
            var completions = self.perform(body(&sending.sender, now), &sending)
            // What goes out again may fail again, at once: then it waits for the next tick.
            let failed = Dictionary(grouping: sending.failed) { $0.link }
            sending.failed = []
            for link in failed.keys { completions.append { self.receiving.value.delegate?.doubt(link) } }
            for (link, tickets) in failed {
                let actions = sending.sender.unanswered(tickets.map(\.ticket), over: link, now: now)
                completions += self.perform(actions, &sending)
            }
            return completions
        }
        for completion in completions { completion() }
    }

    func tickSoon() {
        guard !self.isTicking.load(ordering: .relaxed), !self.isTicking.exchange(true, ordering: .relaxed) else {
            return
        }
        self.bus.eventLoop.execute { self.scheduleTick() }
    }

    /// On the event loop.
    func scheduleTick() {
        guard !self.receiving.value.isTicking else { return }
        self.receiving.value.isTicking = true
        self.bus.eventLoop.scheduleTask(in: Self.fastTick) {
            self.receiving.value.isTicking = false
            self.isTicking.store(false, ordering: .relaxed)
            self.tick()
        }
    }

    /// On the event loop: now and then, and often while something is under way.
    func tick() {
        self.change { sender, now in sender.tick(now: now) }
        self.expireUnsure()
        self.receiving.value.receiver.tick(now: .now())
        self.takeActions(self.receiving.value)
        self.checkSubscriptions()
        let isBusy = self.sending.withLock { $0.sender.isBusy || !$0.failed.isEmpty }
        if isBusy || self.receiving.value.receiver.isBusy { self.scheduleTick() }
    }

    /// What is not kept any more cannot be published again.
    private func expireUnsure() {
        let oldest = NIODeadline.now() - DeliveryConfiguration().historyTime
        let expired = self.sending.withLock { sending in
            guard !sending.unsure.isEmpty else { return [Completion]() }
            let expired = sending.unsure.filter { $0.value.since < oldest }
            for ticket in expired.keys { sending.unsure[ticket] = nil }
            return expired.values.map(\.completion)
        }
        let error = BusError(.outcomeUnknown, "no link has answered for the message")
        for completion in expired { completion(.failure(error), nil) }
    }

    /// Sends nothing more, and tells the other servers how far this one has come. On the event loop.
    func leave() {
        self.change { sender, now in sender.leave(now: now) }
        self.scheduleTick()
    }

    /// Whether the others have everything, or it is time to go in any case.
    var mayGo: Bool { self.sending.withLock { $0.sender.hasLeft || $0.sender.mustLeave(now: .now()) } }

    /// Refuses what still waits. On the event loop.
    ///
    /// - Returns: the servers that may miss messages.
    func end() -> [UInt64] {
        let missing = self.sending.withLock { $0.sender.missingAcknowledgements }
        self.change { sender, _ in sender.end() }
        let unsure = self.sending.withLock { sending in
            defer { sending.unsure = [:] }
            return sending.unsure.values
        }
        for entry in unsure { entry.completion(.failure(BusError(.outcomeUnknown, "the server stops")), nil) }
        self.receiving.value.delegate = nil
        return missing
    }

    /// Takes back a message that nobody has heard.
    func withdraw(_ ticket: DeliveryTicket) -> Withdrawal {
        self.sending.withLock { $0.sender.withdraw(ticket) }
    }

    var senderLedger: SenderLedger { self.sending.withLock { $0.sender.ledger } }

    /// What is kept to send it again, and what waits for a link.
    var sendingBytes: (history: Int, queue: Int) {
        self.sending.withLock { ($0.sender.historyBytes, $0.sender.queueBytes) }
    }

    func sent(toInboxesOf servers: [(name: String, incarnation: UInt64)]) -> [Int] {
        self.sending.withLock { sending in
            servers.map { sending.sender.sent(toInboxOf: $0.name, $0.incarnation) }
        }
    }
}
