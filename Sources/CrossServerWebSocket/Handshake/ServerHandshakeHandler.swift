import HTTPTypes
public import NIOCore

/// Reads one HTTP/1.1 head, lets `decide` choose, answers, then replaces itself by the handler that `upgraded` returns
/// and passes on the bytes that came after the head.
///
/// A rejection is written as an HTTP response, then the channel is closed. The caller enforces the handshake time by
/// closing the channel.
public final class ServerHandshakeHandler: ChannelDuplexHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundIn = Never
    public typealias OutboundOut = ByteBuffer

    private enum State {
        case reading(HTTPHeadParser)
        /// Waits for the application's answer, with what came after the head.
        case deciding(rest: ByteBuffer)
        /// Nothing that comes matters any more.
        case done
    }

    private let maximumHeadSize: Int
    private let decide: (UpgradeRequest, any Channel) -> UpgradeDecision
    private let upgraded: (ChannelHandlerContext, UpgradeRequest, UpgradeAcceptance) -> WebSocketHandler
    private let failed: (any Error) -> Void
    private var state: State
    private var isReadHeldBack = false
    /// The client sends no more. What it asked is answered.
    private var isInputEnded = false
    private var isFinished = false
    private var linger: Scheduled<Void>?

    /// - Parameters:
    ///   - maximumHeadSize: in bytes; a larger head is answered with 431. Default 16 KiB.
    ///   - decide: called once, with a head that is well-formed HTTP but not yet checked by ``ServerHandshake``.
    ///   - upgraded: returns the handler that takes over. The 101 response is written before it is added, and sent behind
    ///     what this puts on the event loop.
    ///   - failed: the handshake ended without an upgrade: ``UpgradeRejection``, ``WebSocketHandshakeError/closed`` or an
    ///     I/O error. At most once.
    public init(
        maximumHeadSize: Int = 16_384,
        decide: @escaping (UpgradeRequest, any Channel) -> UpgradeDecision,
        upgraded: @escaping (ChannelHandlerContext, UpgradeRequest, UpgradeAcceptance) -> WebSocketHandler,
        failed: @escaping (any Error) -> Void
    ) {
        self.maximumHeadSize = maximumHeadSize
        self.decide = decide
        self.upgraded = upgraded
        self.failed = failed
        self.state = .reading(.init(maximumSize: maximumHeadSize))
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        switch self.state {
        case .reading(var parser):
            self.state = .done
            do throws(HTTPHeadError) {
                if let (head, rest) = try parser.parse(bytes) {
                    try self.decide(head, rest: rest, context: context)
                } else {
                    self.state = .reading(parser)
                }
            } catch {
                let rejection: UpgradeRejection =
                    switch error {
                    case .tooLarge: .headerFieldsTooLarge
                    case .malformed: .badRequest()
                    }
                self.reject(rejection, context: context)
            }
        case .deciding(var rest):
            rest.writeImmutableBuffer(bytes)
            self.state = .deciding(rest: rest)
            // A client has no reason to send much before it knows the answer.
            if rest.readableBytes > self.maximumHeadSize { self.reject(.badRequest(), context: context) }
        case .done:
            break
        }
    }

    public func read(context: ChannelHandlerContext) {
        if case .deciding = self.state {
            self.isReadHeldBack = true
        } else {
            context.read()
        }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            context.close(promise: nil)
        } else if event as? ChannelEvent == .inputClosed {
            self.isInputEnded = true
            // The next handler is told when it is there.
            if case .deciding = self.state { return }
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.finish(error)
        context.close(promise: nil)
    }

    public func channelInactive(context: ChannelHandlerContext) {
        self.finish(WebSocketHandshakeError.closed)
        context.fireChannelInactive()
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.state = .done
        self.linger?.cancel()
        self.linger = nil
        self.finish(WebSocketHandshakeError.closed)
    }

    private func decide(_ head: HTTPHead, rest: ByteBuffer, context: ChannelHandlerContext) throws(HTTPHeadError) {
        let line = try head.requestLine()
        let request = UpgradeRequest(
            method: line.method,
            target: line.target,
            headers: head.fields,
            remoteAddress: context.remoteAddress
        )
        // HTTP/1.0 knows no Upgrade.
        guard line.minorVersion == 1 else { return self.reject(.upgradeRequired, context: context) }
        self.state = .deciding(rest: rest)
        switch self.decide(request, context.channel) {
        case .accept(let acceptance):
            self.accept(acceptance, request: request, context: context)
        case .reject(let rejection):
            self.reject(rejection, request: request, context: context)
        case .pending(let future):
            future.hop(to: context.eventLoop).assumeIsolated().whenComplete { result in
                switch result {
                case .success(.success(let acceptance)):
                    self.accept(acceptance, request: request, context: context)
                case .success(.failure(let rejection)):
                    self.reject(rejection, request: request, context: context)
                case .failure:
                    self.reject(.internalServerError, context: context)
                }
            }
        }
    }

    private func accept(_ acceptance: UpgradeAcceptance, request: UpgradeRequest, context: ChannelHandlerContext) {
        guard case .deciding(let rest) = self.state else { return }
        self.state = .done
        self.isFinished = true
        var response = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\n")
        response.writeHTTPFields(acceptance.headers)
        context.write(self.wrapOutboundOut(response), promise: nil)
        let handler = self.upgraded(context, request, acceptance)
        let channel = context.channel
        context.replaceByWebSocket(handler, rest: rest, isInputEnded: self.isInputEnded)
        // The client learns that it is connected when the server knows it.
        context.eventLoop.execute { channel.flush() }
        // By way of the new handler: this context is no longer in the pipeline.
        if self.isReadHeldBack { context.channel.read() }
    }

    /// - Parameter request: nil when there is none that could be accepted.
    private func reject(
        _ rejection: UpgradeRejection,
        request: UpgradeRequest? = nil,
        context: ChannelHandlerContext
    ) {
        guard !self.isFinished else { return }
        self.state = .done
        context.writeAndFlush(self.wrapOutboundOut(rejection.response(to: request)), promise: nil)
        // Closing at once could reset the connection before the client has read the answer. When it has closed its half
        // already, this closes the connection.
        context.close(mode: .output, promise: nil)
        self.linger = context.eventLoop.assumeIsolated().scheduleTask(in: RefusalHandler.lingerTime) {
            context.close(promise: nil)
        }
        if self.isReadHeldBack { context.read() }
        self.finish(rejection)
    }

    private func finish(_ error: any Error) {
        guard !self.isFinished else { return }
        self.isFinished = true
        self.failed(error)
    }
}

@available(*, unavailable)
extension ServerHandshakeHandler: Sendable {}

extension UpgradeRejection {
    /// The whole answer as bytes.
    ///
    /// - Parameter request: what is refused; nil when it is no request for an upgrade.
    package func response(to request: UpgradeRequest?) -> ByteBuffer {
        if let close = self.close, let acceptance = self.acceptance(of: request) {
            var buffer = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\n")
            buffer.writeHTTPFields(acceptance.headers)
            buffer.writeFrame(.close, payload: close.payload, maskingKey: nil)
            return buffer
        }
        var fields = self.headers
        fields[.connection] = "close"
        fields[.contentLength] = String(self.body.utf8.count)
        if !fields.contains(.contentType) { fields[.contentType] = "text/plain; charset=utf-8" }
        var buffer = ByteBuffer(string: "HTTP/1.1 \(self.status) ")
        buffer.writeBytes(self.reasonPhrase.utf8.lazy.filter { $0 >= 0x20 && $0 != 0x7F })
        buffer.writeString("\r\n")
        buffer.writeHTTPFields(fields)
        buffer.writeString(self.body)
        return buffer
    }

    /// What makes a client take the Close frame that follows. Browsers fail the handshake when they have offered
    /// subprotocols and none is chosen.
    private func acceptance(of request: UpgradeRequest?) -> UpgradeAcceptance? {
        guard let request else { return nil }
        // A handshake that breaks the rules gets the HTTP answer.
        return try? ServerHandshake.accept(request, subprotocol: request.subprotocols.first)
    }
}

extension ChannelHandlerContext {
    /// Puts the handler in the place of this context's, and hands it what was read too far.
    func replaceByWebSocket(_ handler: WebSocketHandler, rest: ByteBuffer, isInputEnded: Bool = false) {
        do {
            // The position needs the handler of this context, which is removable by its type.
            try self.pipeline.syncOperations.addHandler(handler, position: .after(self.handler))
        } catch {
            handler.finish()
            self.close(promise: nil)
            return
        }
        if rest.readableBytes > 0 {
            self.fireChannelRead(NIOAny(rest))
            self.fireChannelReadComplete()
        }
        if isInputEnded { self.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        self.pipeline.syncOperations.removeHandler(context: self, promise: nil)
    }
}
