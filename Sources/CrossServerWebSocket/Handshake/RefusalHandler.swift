package import NIOCore

/// Answers a connection of HTTP with a refusal, takes what still comes, and closes: at once when the client does, or after
/// a second. To be added in front of the handlers of HTTP, which then see only the end.
package final class RefusalHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// How long a rejected client may take to read the answer and close.
    package static let lingerTime = TimeAmount.seconds(1)

    private let response: ByteBuffer
    private var linger: Scheduled<Void>?

    /// - Parameter request: nil when there is none, or none that could be accepted.
    package init(_ rejection: UpgradeRejection, to request: UpgradeRequest?) {
        self.response = rejection.response(to: request)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { self.answer(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        self.answer(context)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.linger?.cancel()
        self.linger = nil
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent || event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard self.linger == nil else { return }
        self.linger = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) {
            context.close(promise: nil)
        }
        context.writeAndFlush(self.wrapOutboundOut(self.response), promise: nil)
        // Closing at once could reset the connection before the client has read the answer.
        context.close(mode: .output, promise: nil)
    }
}

@available(*, unavailable)
extension RefusalHandler: Sendable {}
