import HTTPTypes
public import NIOCore

/// Sends the client's handshake as soon as the channel is active, then replaces itself by the handler that `upgraded`
/// returns and passes on the bytes that came after the answer.
///
/// When it fails the channel is closed. The caller enforces the handshake time by closing the channel.
public final class ClientHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    private enum State {
        case idle
        case readingHead(HTTPHeadParser)
        /// Of a rejection.
        case readingBody(Rejection)
        case done
    }

    private struct Rejection {
        var status: Int
        var retryAfter: Duration?
        var body: RefusalBody
    }

    private let handshake: ClientHandshake
    private let maximumHeadSize: Int
    private let upgraded: (ChannelHandlerContext, String?, NegotiatedDeflate?) -> WebSocketHandler
    private let failed: (any Error) -> Void
    private var state = State.idle
    private var interimAnswers = 0

    /// Interim answers before the final one (RFC 9110, section 15.2). Beyond: the handshake has failed.
    static let maximumInterimAnswers = 8

    /// - Parameters:
    ///   - maximumHeadSize: of the answer, in bytes. Default 16 KiB.
    ///   - upgraded: gets the negotiated subprotocol and compression, returns the handler that takes over.
    ///   - failed: ``WebSocketHandshakeError`` or an I/O error. At most once.
    public init(
        handshake: ClientHandshake,
        maximumHeadSize: Int = 16_384,
        upgraded: @escaping (ChannelHandlerContext, String?, NegotiatedDeflate?) -> WebSocketHandler,
        failed: @escaping (any Error) -> Void
    ) {
        self.handshake = handshake
        self.maximumHeadSize = maximumHeadSize
        self.upgraded = upgraded
        self.failed = failed
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { self.start(context) }
    }

    public func channelActive(context: ChannelHandlerContext) {
        self.start(context)
        context.fireChannelActive()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        switch self.state {
        case .readingHead(var parser):
            // The parser's buffer must not be shared when it grows.
            self.state = .idle
            do throws(HTTPHeadError) {
                var bytes = bytes
                while let (head, rest) = try parser.parse(bytes) {
                    guard try self.isInterim(head) else {
                        return try self.received(head, rest: rest, context: context)
                    }
                    parser = .init(maximumSize: self.maximumHeadSize)
                    bytes = rest
                }
                self.state = .readingHead(parser)
            } catch {
                let problem =
                    switch error {
                    case .tooLarge: "head is too large"
                    case .malformed(let problem): problem
                    }
                self.fail(WebSocketHandshakeError.invalidResponse(problem), context: context)
            }
        case .readingBody(var rejection):
            // Nor must the body's.
            self.state = .idle
            rejection.body.read(bytes)
            self.readBody(of: rejection, context: context)
        case .idle, .done:
            break
        }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            self.inputEnded(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(error, context: context)
    }

    public func channelInactive(context: ChannelHandlerContext) {
        self.inputEnded(context)
        context.fireChannelInactive()
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.inputEnded(context)
    }

    private func start(_ context: ChannelHandlerContext) {
        guard case .idle = self.state else { return }
        self.state = .readingHead(.init(maximumSize: self.maximumHeadSize))
        context.writeAndFlush(self.wrapOutboundOut(self.handshake.request()), promise: nil)
    }

    /// Whether the final answer is still to come (RFC 9110, section 15.2): 101 is final here.
    private func isInterim(_ head: HTTPHead) throws(HTTPHeadError) -> Bool {
        let status = try head.statusLine().status
        guard status < 200, status != 101 else { return false }
        self.interimAnswers += 1
        if self.interimAnswers > Self.maximumInterimAnswers { throw .malformed("too many interim answers") }
        return true
    }

    private func received(
        _ head: HTTPHead,
        rest: ByteBuffer,
        context: ChannelHandlerContext
    ) throws(HTTPHeadError) {
        let line = try head.statusLine()
        guard line.status == 101 else {
            let rejection = Rejection(
                status: line.status,
                retryAfter: RetryAfter.parse(head.fields),
                body: RefusalBody(head.fields, rest: rest)
            )
            return self.readBody(of: rejection, context: context)
        }
        let response = UpgradeResponse(
            status: line.status,
            reasonPhrase: line.reasonPhrase,
            headers: head.fields
        )
        do throws(WebSocketHandshakeError) {
            let (subprotocol, deflate) = try self.handshake.validate(response)
            self.state = .done
            let handler = self.upgraded(context, subprotocol, deflate)
            context.replaceByWebSocket(handler, rest: rest)
        } catch {
            self.fail(error, context: context)
        }
    }

    private func readBody(of rejection: Rejection, context: ChannelHandlerContext) {
        self.state = .readingBody(rejection)
        if rejection.body.isComplete { self.inputEnded(context) }
    }

    private func inputEnded(_ context: ChannelHandlerContext) {
        if case .readingBody(let rejection) = self.state {
            let error = WebSocketHandshakeError.rejected(
                status: rejection.status,
                body: rejection.body.text,
                retryAfter: rejection.retryAfter
            )
            self.fail(error, context: context)
        } else {
            self.fail(WebSocketHandshakeError.closed, context: context)
        }
    }

    private func fail(_ error: any Error, context: ChannelHandlerContext) {
        if case .done = self.state { return }
        self.state = .done
        self.failed(error)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension ClientHandshakeHandler: Sendable {}
