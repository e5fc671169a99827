import CrossServerWebSocket
import NIOCore

/// Ends a connection of HTTP whose client takes nothing of what it is sent: from one look to the next something waited for
/// it, and not a byte of that is gone. To be added at the head, where it sees what goes to the socket.
///
/// What the kernel of the server has taken still waits, as long as the client's has not.
final class StalledAnswerHandler: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private let interval: TimeAmount
    private var writtenBytes = 0
    private var progress = OutboundProgress()
    private var nextLook: Scheduled<Void>?

    /// - Parameter interval: from one look to the next.
    init(interval: TimeAmount) {
        self.interval = interval
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        self.writtenBytes &+= self.unwrapOutboundIn(data).readableBytes
        context.write(data, promise: promise)
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        guard self.nextLook == nil else { return }
        _ = self.progress.isStalled(at: self.state(context))
        self.lookLater(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.nextLook?.cancel()
        self.nextLook = nil
    }

    private func lookLater(_ context: ChannelHandlerContext) {
        self.nextLook = context.eventLoop.assumeIsolated().scheduleTask(in: self.interval) {
            self.nextLook = nil
            let state = self.state(context)
            if self.progress.isStalled(at: state) {
                // From here past TLS, which would wait for what the client does not take.
                context.close(promise: nil)
            } else if state.waiting > 0 {
                self.lookLater(context)
            }
        }
    }

    private func state(_ context: ChannelHandlerContext) -> OutboundProgress.State {
        // A channel that is closed buffers nothing that counts.
        let buffered = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let unacknowledged = DirectSocket(of: context.pipeline)?.unacknowledgedBytes ?? 0
        return .init(written: self.writtenBytes, waiting: buffered + unacknowledged)
    }
}

@available(*, unavailable)
extension StalledAnswerHandler: Sendable {}
