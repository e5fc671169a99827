import CrossServerBus
import CrossServerRESP
import NIOCore

/// Reads messages from a connection that subscribes, and proves that it lives.
final class SubscriberHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let link: RedisLink
    private let subscriber: Subscriber
    private let receiver: any BusReceiver
    /// The same, if it is told when messages were read.
    private let timingReceiver: (any NumberingBusReceiver)?
    private var readAt = NIODeadline.now()
    private let busLink: BusLink
    private var input: RESPInput
    private var context: ChannelHandlerContext?
    private var prober: Prober
    private var failure: RedisFailure?
    private var hasEnded = false
    private var refusedTimer: Scheduled<Void>?
    /// Why the connection is out of use, although it is open: it does not answer.
    private var silence: RedisFailure?
    /// Each time when it falls silent. Ends with it.
    let silences: AsyncStream<Void>
    private let silent: AsyncStream<Void>.Continuation
    private var skippedStrings = 0
    private let ended: EventLoopPromise<RedisFailure>

    /// Completed when the connection has ended.
    var end: EventLoopFuture<RedisFailure> { self.ended.futureResult }

    init(link: RedisLink, subscriber: Subscriber, receiver: any BusReceiver) {
        self.link = link
        self.subscriber = subscriber
        self.receiver = receiver
        self.timingReceiver = receiver as? any NumberingBusReceiver
        self.busLink = link.busLink
        self.input = RESPInput(limits: link.limits)
        self.prober = Prober(link.configuration)
        self.ended = link.eventLoop.makePromise()
        (self.silences, self.silent) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var isSilent: Bool { self.silence != nil }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.subscriber.opened(self)
        self.prober.start(on: context.eventLoop, send: self.sendPing, overdue: self.probeFailed)
        self.scheduleRetryOfRefused()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.finish()
        self.context = nil
    }

    func send(_ commands: [SubscriptionSet.Command]) {
        guard let context = self.context else { return }
        var bytes = context.channel.allocator.buffer(capacity: 4_096)
        for command in commands {
            switch command {
            case .subscribe(let channels): bytes.writeCommand("SUBSCRIBE", channels)
            case .unsubscribe(let channels): bytes.writeCommand("UNSUBSCRIBE", channels)
            case .ping: bytes.writeCommand("PING", [])
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input.append(self.unwrapInboundIn(data))
        self.readAt = .now()
        self.prober.probe.heard(at: self.readAt)
        if self.isSilent { self.answersAgain() }
        var messages = 0
        do throws(RedisFailure) {
            while self.failure == nil {
                if let (channel, payload) = self.input.nextMessage() {
                    if self.received(payload, on: channel) { messages += 1 }
                    // So that others can work on the first replies while the next ones are made.
                    if messages % Self.flushEvery == 0 { self.link.flush() }
                } else if let value = try self.input.next() {
                    if try self.isMessage(value) { messages += 1 }
                } else {
                    break
                }
            }
        } catch {
            self.fail(error)
        }
        if messages > 0 { self.link.counters.received.add(messages) }
    }

    private func isMessage(_ value: RESPValue) throws(RedisFailure) -> Bool {
        guard case .array(let elements) = value else {
            guard let message = value.errorMessage else {
                // An answer to PING before the first subscription is no array.
                guard value == .simpleString("PONG") else { throw Self.unknown }
                try self.subscriber.pong()
                return false
            }
            try self.subscriber.refused(message)
            return false
        }
        guard elements.count == 3, case .bulkString(let kind) = elements[0] else {
            guard elements.count == 2, elements[0].string == "pong" else { throw Self.unknown }
            try self.subscriber.pong()
            return false
        }
        guard kind.readableBytes == 7, kind == Self.message else {
            try self.answer(kind, elements[1])
            return false
        }
        guard case .bulkString(let channel) = elements[1] else { throw Self.unknown }
        guard case .bulkString(let payload) = elements[2] else {
            guard elements[2] == .null, self.input.skippedStrings > self.skippedStrings else { throw Self.unknown }
            self.skippedStrings = self.input.skippedStrings
            if let name = self.subscriber.name(of: channel) { self.link.messageTooLong(on: name) }
            return false
        }
        return self.received(payload, on: channel)
    }

    /// - Returns: false when the channel was left, and the server did not know yet.
    private func received(_ payload: ByteBuffer, on channel: ByteBuffer) -> Bool {
        guard let name = self.subscriber.name(of: channel) else {
            self.link.counters.dropped.add(1)
            return false
        }
        if let receiver = self.timingReceiver {
            receiver.received(payload, on: name, over: self.busLink, at: self.readAt)
        } else {
            self.receiver.received(payload, on: name, over: self.busLink)
        }
        return true
    }

    private static let flushEvery = 16
    private static let message = ByteBuffer(string: "message")
    private static let unknown = RedisFailure(.protocolViolation, "the server sent what is no answer and no message")

    private func answer(_ kind: ByteBuffer, _ channel: RESPValue) throws(RedisFailure) {
        guard let name = channel.string else { throw Self.unknown }
        switch String(buffer: kind) {
        case "subscribe": try self.subscriber.answered(name, isSubscribe: true)
        case "unsubscribe": try self.subscriber.answered(name, isSubscribe: false)
        default: throw Self.unknown
        }
    }

    private func sendPing() {
        self.subscriber.pingSent()
        self.send([.ping])
    }

    func pongReceived() {
        self.prober.answered()
    }

    private func probeFailed() {
        guard !self.isSilent else { return }
        let deadline = self.link.configuration.probeDeadline
        let silence = RedisFailure(.unanswered, "a probe was not answered within \(deadline)")
        self.silence = silence
        self.subscriber.fellSilent(self, silence)
        self.silent.yield()
    }

    private func answersAgain() {
        self.silence = nil
        self.prober.goOn()
        self.subscriber.answersAgain(self)
    }

    func giveUpIfSilent() {
        if let silence = self.silence { self.fail(silence) }
    }

    private func scheduleRetryOfRefused() {
        self.refusedTimer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: .seconds(30)) {
            self.subscriber.retryRefused()
            self.scheduleRetryOfRefused()
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
        self.context?.channel.closeNow()
    }

    private func finish() {
        guard !self.hasEnded else { return }
        self.hasEnded = true
        self.prober.stop()
        self.refusedTimer?.cancel()
        let failure = self.failure ?? .closedByServer
        self.subscriber.closed(self, failure)
        self.silent.finish()
        self.ended.succeed(failure)
    }
}

extension ByteBuffer {
    mutating func writeCommand(_ name: String, _ arguments: [String]) {
        self.writeRESPArrayHeader(count: arguments.count + 1)
        self.writeRESPBulkString(name)
        for argument in arguments { self.writeRESPBulkString(argument) }
    }
}
