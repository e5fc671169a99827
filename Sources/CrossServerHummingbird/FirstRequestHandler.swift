import CrossServer
import CrossServerWebSocket
import HummingbirdCore
import NIOCore

/// Keeps what a connection sends until its first request is known, then makes way for HTTP or an adapter.
final class FirstRequestHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let handshakeTimeout: TimeAmount
    private let adapter: (UpgradeRequest) -> WebSocketCrossServerAdapter?
    private let setUpHTTP: (any Channel) -> EventLoopFuture<HTTP1Channel.Value>
    private let kind: EventLoopPromise<HTTP1Channel.Value?>
    private var probe: UpgradeProbe
    private var isDecided = false
    private var timeout: Scheduled<Void>?

    /// - Parameter kind: succeeds with nil for an adapter's connection; fails when the connection ends before.
    init(
        limits: Limits,
        adapter: @escaping (UpgradeRequest) -> WebSocketCrossServerAdapter?,
        setUpHTTP: @escaping (any Channel) -> EventLoopFuture<HTTP1Channel.Value>,
        kind: EventLoopPromise<HTTP1Channel.Value?>
    ) {
        self.handshakeTimeout = TimeAmount(limits.handshakeTimeout)
        self.probe = UpgradeProbe(maximumHeadSize: limits.maximumHandshakeSize)
        self.adapter = adapter
        self.setUpHTTP = setUpHTTP
        self.kind = kind
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: self.handshakeTimeout) {
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timeout?.cancel()
        self.timeout = nil
        guard !self.isDecided else { return }
        self.isDecided = true
        self.kind.fail(ChannelError.eof)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDecided else { return }
        switch self.probe.read(self.unwrapInboundIn(data), from: context.remoteAddress) {
        case .needsMore: break
        case .webSocket(let request):
            if let adapter = self.adapter(request) {
                self.handOver(to: adapter, context: context)
            } else {
                self.handOverToHTTP(context: context)
            }
        case .other: self.handOverToHTTP(context: context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !self.isDecided, event is ChannelShouldQuiesceEvent || event as? ChannelEvent == .inputClosed {
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.isDecided {
            context.fireErrorCaught(error)
        } else {
            context.close(promise: nil)
        }
    }

    private func handOver(to adapter: WebSocketCrossServerAdapter, context: ChannelHandlerContext) {
        self.isDecided = true
        do {
            try adapter.takeOver(context.channel)
            self.makeWay(context: context)
            self.kind.succeed(nil)
        } catch {
            self.fail(error, context: context)
        }
    }

    private func handOverToHTTP(context: ChannelHandlerContext) {
        self.isDecided = true
        self.setUpHTTP(context.channel).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let http):
                self.kind.succeed(http)
                self.makeWay(context: context)
            case .failure(let error):
                self.fail(error, context: context)
            }
        }
    }

    private func makeWay(context: ChannelHandlerContext) {
        context.fireChannelRead(self.wrapInboundOut(self.probe.bytes))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func fail(_ error: any Error, context: ChannelHandlerContext) {
        self.kind.fail(error)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension FirstRequestHandler: Sendable {}
