public import NIOCore

/// One WebSocket connection after the handshake, as the last handler of its channel.
///
/// It answers pings and Close frames by itself. All of it is used on the channel's event loop only.
public final class WebSocketHandler: ChannelDuplexHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = Never
    public typealias OutboundIn = Never
    public typealias OutboundOut = ByteBuffer

    let role: WebSocketRole
    let closeTimeout: TimeAmount
    let outboundLimit: OutboundLimit
    let deflate: DeflateCodec?
    let flusher: WebSocketFlusher
    var context: ChannelHandlerContext?
    /// Nil once the connection is gone.
    var delegate: (any WebSocketHandlerDelegate)?

    // It calls nothing of this handler, so that no access can come into another one: not checked at run time.
    @exclusivity(unchecked) var decoder: MessageDecoder
    var closing: CloseStateMachine
    var deadline: Scheduled<Void>?
    var queue = OutboundQueue()
    var controls: ControlQueue?
    /// Written behind the queue.
    var waitingClose: CloseFrame?
    /// At least what the channel has not given to the kernel.
    var channelBytes = 0
    /// Nil where bytes have to go through the channel: another handler changes them, or it is closed.
    var socket: DirectSocket?
    private let writesToSocket: Bool
    /// The flusher's turn in which something was written last.
    var lastWriteTurn: UInt32 = .max
    /// As the channel last said: cheaper than to ask it for each message.
    var isWritable = false
    var isRegistered = false
    var isFlushing = false
    /// All bytes that were given to the channel or its socket.
    var writtenBytes = 0
    var progress = OutboundProgress()
    private var hasReceived = false
    private var isReadingPaused = false
    private var isReadHeldBack = false
    /// More was read than may be handled in one turn of the event loop: nothing more is read until it is.
    private var isBehind = false
    /// Bytes that the decoder has not got yet, and whether the peer's stream ends with them.
    private var heldInput: ByteBuffer?
    private var isInputEndHeld = false
    /// What the server's budget knows of this connection.
    var account = MemoryAccount()
    var memory: MemoryBudget?

    /// - Parameters:
    ///   - deflate: nil when compression was not negotiated.
    ///   - flusher: of the channel's event loop.
    ///   - writesToSocket: whether no handler is before this one that has to see what it writes, as one for TLS has: then
    ///     most is written to the channel's socket at once.
    public init(
        role: WebSocketRole,
        configuration: WebSocketConfiguration,
        deflate: NegotiatedDeflate?,
        deflateConfiguration: PerMessageDeflate = .init(),
        flusher: WebSocketFlusher,
        writesToSocket: Bool = false,
        delegate: any WebSocketHandlerDelegate
    ) {
        self.role = role
        self.closeTimeout = configuration.closeTimeout
        self.outboundLimit = configuration.outbound
        self.memory = configuration.memory
        self.flusher = flusher
        self.writesToSocket = writesToSocket
        self.delegate = delegate
        self.deflate = deflate.map {
            DeflateCodec(role: role, negotiated: $0, configuration: deflateConfiguration)
        }
        self.decoder = MessageDecoder(
            role: role,
            maximumMessageSize: configuration.maximumMessageSize,
            maximumFragments: configuration.maximumFragments,
            deflate: self.deflate
        )
        self.closing = CloseStateMachine(role: role)
    }

    /// The channel while the handler is in its pipeline.
    public var channel: (any Channel)? { self.context?.channel }

    /// Whether messages can be sent.
    public var isOpen: Bool { self.closing.isOpen }

    /// Whether the peer has shown since the last call that it is alive: bytes came from it, or it took some of those that
    /// waited for it at the last call.
    public func takeSignOfLife() -> Bool {
        let hasAdvanced = self.progress.hasAdvanced(to: self.outboundState)
        defer { self.hasReceived = false }
        return self.hasReceived || hasAdvanced
    }

    /// No new bytes are read from the kernel until ``resumeReading()``. What was read is still delivered. Idempotent.
    /// Has no effect on a connection that is closing.
    public func pauseReading() {
        self.isReadingPaused = self.isOpen
    }

    public func resumeReading() {
        self.isReadingPaused = false
        self.readHeldBack()
    }

    private func readHeldBack() {
        guard self.isReadHeldBack, !self.isReadingPaused, !self.isBehind else { return }
        self.isReadHeldBack = false
        self.context?.read()
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.isWritable = context.channel.isWritable
        if self.writesToSocket {
            self.socket = DirectSocket(of: context.pipeline)
            // The answer to the handshake may wait yet.
            self.channelBytes = self.bufferedInChannel()
        }
        if !self.closing.isOpen, self.waitingClose == nil {
            context.close(promise: nil)
        } else if self.hasOutput {
            self.register()
            if self.waitingClose != nil { self.startDeadline(extensions: Self.maximumCloseExtensions) }
        }
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.socket = nil
        self.finish()
        self.context = nil
    }

    public func channelInactive(context: ChannelHandlerContext) {
        // Its number may be that of another connection by now.
        self.socket = nil
        self.finish()
        context.fireChannelInactive()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.hasReceived = true
        guard self.closing.acceptsInput else { return }
        let bytes = self.unwrapInboundIn(data)
        if self.isBehind || self.flusher.isTurnOver {
            self.hold(bytes)
        } else {
            self.handle(bytes)
        }
        self.updateAccount()
    }

    private func handle(_ bytes: ByteBuffer) {
        var scratch = ByteBuffer()
        swap(&scratch, &self.flusher.inputScratch)
        self.decoder.receive(bytes, scratch: &scratch)
        self.deliver()
        // The decoder keeps what it has not got to.
        if !self.isBehind { self.flusher.keepInputScratch(scratch) }
    }

    private func hold(_ bytes: ByteBuffer) {
        if self.heldInput == nil {
            self.heldInput = bytes
        } else {
            self.heldInput?.writeImmutableBuffer(bytes)
        }
        self.fallBehind()
    }

    private func fallBehind() {
        guard !self.isBehind else { return }
        self.isBehind = true
        self.flusher.goOnLater(self)
    }

    /// Handles some of what was read before. On a connection that has ended meanwhile nothing is left.
    func takeTurn() {
        self.isBehind = false
        if self.closing.acceptsInput {
            self.deliver()
            if !self.isBehind, let bytes = self.heldInput {
                self.heldInput = nil
                self.handle(bytes)
            }
        }
        if !self.isBehind {
            if self.isInputEndHeld {
                self.isInputEndHeld = false
                self.perform(self.closing.inputEnded())
            }
            self.readHeldBack()
        }
        self.updateAccount()
    }

    /// Lets go of everything that was read.
    func discardInput() {
        self.decoder.discard()
        self.heldInput = nil
    }

    var inputBytes: Int { self.decoder.heldBytes + (self.heldInput?.readableBytes ?? 0) }

    public func read(context: ChannelHandlerContext) {
        if self.isReadingPaused || self.isBehind {
            self.isReadHeldBack = true
        } else {
            context.read()
        }
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        if self.isWritable, self.hasOutput {
            self.register()
        }
        context.fireChannelWritabilityChanged()
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            if self.isBehind {
                self.isInputEndHeld = true
            } else {
                self.perform(self.closing.inputEnded())
            }
        } else if event is ChannelShouldQuiesceEvent {
            self.delegate?.webSocketShouldQuiesce(self)
        }
        context.fireUserInboundEventTriggered(event)
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.socket = nil
        if self.closing.isOpen {
            self.delegate?.webSocket(self, failed: error)
        }
        context.close(promise: nil)
    }

    private func deliver() {
        let limit = self.flusher.turnLimit
        do throws(WebSocketError) {
            while self.closing.acceptsInput, let event = try self.decoder.next() {
                switch event {
                case .message(let message):
                    self.flusher.spend(message.payload.readableBytes >> self.sizeShift)
                    if self.isOpen { self.delegate?.webSocket(self, received: message) }
                case .ping(let payload):
                    if self.isOpen { self.appendControl(.pong, payload) }
                case .pong(let payload):
                    self.delegate?.webSocket(self, receivedPong: payload)
                case .close(let frame):
                    self.perform(self.closing.receivedClose(frame))
                }
                self.flusher.spend(1)
                if self.flusher.turns.spent >= limit, self.decoder.hasInput {
                    self.fallBehind()
                    break
                }
            }
        } catch {
            self.fail(error)
        }
        if !self.closing.acceptsInput { self.discardInput() }
    }

    /// A small message's work for each KiB, four times that where it has to be inflated.
    private var sizeShift: Int { self.deflate == nil ? 10 : 8 }

    private func fail(_ error: WebSocketError) {
        let action = self.closing.failed(.init(code: error.closeCode, reason: error.message))
        self.delegate?.webSocket(self, failed: error)
        self.perform(action)
    }
}

@available(*, unavailable)
extension WebSocketHandler: Sendable {}
