import CrossServerBus
import CrossServerRESP
import DequeModule
import NIOCore

/// Writes publishes to a connection and hands out their outcomes.
final class PublisherHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let link: RedisLink
    private var input: RESPInput
    private var pipeline = PublishPipeline()
    private var counts: Deque<CountCompletion> = []
    private var context: ChannelHandlerContext?
    private var prober: Prober
    private var deadlineTimer: Scheduled<Void>?
    private let deadline: TimeAmount
    private let stalledAfter: TimeAmount
    /// When anything came last.
    private var heardAt = NIODeadline.now()
    private var hasStalled = false
    /// A member of a cluster counts its own subscribers only.
    private let countsAllReceivers: Bool
    /// Whether the server says whether it is a master. What a replica is told reaches its own subscribers alone; in a cluster
    /// it reaches all.
    private var tellsRole: Bool
    /// What the server said to the last publish, if it did not take it.
    private var refusal: String?
    private var refusalLoggedAt: NIODeadline?
    private var failure: RedisFailure?
    private var hasEnded = false
    private let ended: EventLoopPromise<RedisFailure>

    /// Completed when the connection has ended.
    var end: EventLoopFuture<RedisFailure> { self.ended.futureResult }

    init(link: RedisLink) {
        self.link = link
        self.input = RESPInput(limits: link.limits)
        self.prober = Prober(link.configuration)
        self.deadline = TimeAmount(link.configuration.publishDeadline)
        self.stalledAfter = TimeAmount(link.configuration.stalledAfter)
        self.countsAllReceivers = if case .cluster = link.node.endpoint { false } else { true }
        self.tellsRole = self.countsAllReceivers
        self.ended = link.eventLoop.makePromise()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.link.outbox.open()
        self.link.publisherOpened(self)
        self.prober.start(on: context.eventLoop, send: self.sendPing, overdue: self.probeFailed)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.finish()
        self.context = nil
    }

    /// Writes what waits in the outbox.
    func flush() {
        guard let context = self.context, self.failure == nil,
            let batch = self.link.outbox.take(hasReplies: !self.pipeline.isEmpty)
        else { return }
        self.pipeline.sent(batch.slots, at: .now())
        if self.deadlineTimer == nil { self.check(in: min(self.stalledAfter, self.deadline), isLast: false) }
        context.writeAndFlush(self.wrapOutboundOut(batch.bytes), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input.append(self.unwrapInboundIn(data))
        self.heard()
        var released = 0
        var published = 0
        do throws(RedisFailure) {
            while self.failure == nil, let reply = try self.input.next() {
                let (slot, answer) = try self.pipeline.received(reply)
                released += slot.bytes
                switch answer {
                case .publication(let receivers):
                    if self.refusal != nil { self.note(refusal: nil) }
                    guard case .completion(let completion) = slot.outcome else {
                        published += 1
                        continue
                    }
                    // Before somebody who waits for it goes on.
                    self.link.counters.published.add(1)
                    let known = self.countsAllReceivers ? receivers : nil
                    completion(.success(Publication(link: self.link.busLink, receivers: known)))
                case .refused(let message):
                    self.link.counters.failed.add(1)
                    if self.refusal != message { self.note(refusal: message) }
                    self.failed(slot, BusError(.refused, "\(self.link.name) refused: \(message)"))
                case .counts(let counts):
                    self.counts.popFirst()?(self.countsAllReceivers ? counts : nil)
                case .role(let isTold):
                    self.tellsRole = isTold
                case .probe:
                    self.prober.answered()
                    if let latency = self.prober.probe.latency { self.link.measured(latency) }
                }
            }
        } catch {
            self.fail(error)
            if error.kind == .wrongRole { self.link.demoted(error) }
        }
        self.link.outbox.release(released)
        self.link.counters.published.add(published)
        self.flush()
    }

    private func note(refusal: String?) {
        self.refusal = refusal
        // Some channels may be allowed, and others not.
        let now = NIODeadline.now()
        let isNews = refusal != nil && self.refusalLoggedAt.map { now - $0 > Self.refusalLogInterval } ?? true
        if isNews { self.refusalLoggedAt = now }
        self.link.publishRefused(refusal, isNews: isNews)
    }

    private static let refusalLogInterval = TimeAmount.seconds(60)

    private func failed(_ slot: PublishSlot, _ error: BusError) {
        switch slot.outcome {
        case .nobody: break
        case .completion(let completion): completion(.failure(error))
        case .receiver(let number): self.link.publishFailed(number)
        }
    }

    private func sendPing() {
        guard let context = self.context else { return }
        // Publishes that wait are older.
        self.flush()
        self.pipeline.probeSent(at: .now())
        var bytes = context.channel.allocator.buffer(capacity: 16)
        bytes.writeCommand("PING", [])
        if self.tellsRole {
            self.pipeline.probeSent(.role, at: .now())
            bytes.writeCommand("ROLE", [])
        }
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
    }

    /// Asks how many subscribers the channels have. When very many questions wait this one is not asked.
    func count(_ channels: [String], _ completion: @escaping CountCompletion) {
        guard let context = self.context, self.failure == nil, self.counts.count < 100 else { return completion(nil) }
        self.flush()
        self.pipeline.probeSent(.counts, at: .now())
        self.counts.append(completion)
        var bytes = context.channel.allocator.buffer(capacity: 128)
        bytes.writeCommand("PUBSUB", ["NUMSUB"] + channels)
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
    }

    private func probeFailed() {
        self.fail(RedisFailure(.unanswered, "a probe was not answered within \(self.link.configuration.probeDeadline)"))
    }

    private func heard() {
        self.heardAt = .now()
        self.prober.probe.heard(at: self.heardAt)
        guard self.hasStalled else { return }
        self.hasStalled = false
        self.deadlineTimer?.cancel()
        self.check(in: min(self.stalledAfter, self.deadline), isLast: false)
    }

    /// The last check comes a little later than what is due: when this process was too busy to read, the answer is there
    /// but was not seen yet.
    private func check(in time: TimeAmount, isLast: Bool) {
        self.deadlineTimer = self.link.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.deadlineTimer = nil
            guard let oldest = self.pipeline.oldest else { return }
            let now = NIODeadline.now()
            let end = oldest + self.deadline
            let due = self.hasStalled ? end : min(max(oldest, self.heardAt) + self.stalledAfter, end)
            if now < due { return self.check(in: due - now, isLast: false) }
            guard isLast else { return self.check(in: .milliseconds(5), isLast: true) }
            if now < end {
                self.hasStalled = true
                self.check(in: end - now, isLast: false)
                return self.link.stalled()
            }
            let limit = self.link.configuration.publishDeadline
            self.fail(RedisFailure(.unanswered, "a publish was not answered within \(limit)"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(RedisFailure(.lost, "the connection failed: \(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.finish()
        context.fireChannelInactive()
    }

    /// Gives the connection up.
    func fail(_ failure: RedisFailure) {
        if self.failure == nil { self.failure = failure }
        // Nothing of a connection that is not trusted any more is waited for.
        self.context?.channel.closeNow()
    }

    private func finish() {
        guard !self.hasEnded else { return }
        self.hasEnded = true
        self.prober.stop()
        self.deadlineTimer?.cancel()
        let failure = self.failure ?? .closedByServer
        // First out of use, then the outcomes: who publishes again at once gets another link.
        self.link.publisherClosed(self, failure)
        let unsent = self.link.outbox.close()
        let unanswered = self.pipeline.removeAll()
        self.link.outbox.release(unanswered.reduce(0) { $0 + $1.bytes })
        for completion in self.counts { completion(nil) }
        self.counts = []
        let lost = unanswered.filter { $0.kind == .publish }
        self.link.counters.failed.add(unsent.count + lost.count)
        let unknown = BusError(.outcomeUnknown, "\(self.link.name): \(failure.message)")
        for slot in lost { self.failed(slot, unknown) }
        let notConnected = BusError(.notConnected, "\(self.link.name): \(failure.message); nothing was sent")
        for slot in unsent { self.failed(slot, notConnected) }
        self.ended.succeed(failure)
    }
}
