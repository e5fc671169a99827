public import NIOCore

/// One per event loop: collects the handlers that have something to write and flushes each once, at the end of the
/// loop's turn. Used on its loop only.
public final class WebSocketFlusher {
    private let eventLoop: any EventLoop
    private var dirty: [WebSocketHandler] = []
    private var flushing: [WebSocketHandler] = []
    private var isScheduled = false
    /// Buffers that the handlers of the loop share, because each needs them only for a moment.
    var inputScratch = ByteBuffer()
    var batchScratch = ByteBuffer()
    var deflateScratch = ByteBuffer()

    /// Larger scratch buffers are given back.
    private static let maximumScratch = 1 << 18

    public init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// A handler registers at most once before it is flushed.
    func register(_ handler: WebSocketHandler) {
        self.dirty.append(handler)
        guard !self.isScheduled else { return }
        self.isScheduled = true
        self.eventLoop.assumeIsolated().execute {
            self.flush()
        }
    }

    func keepInputScratch(_ scratch: ByteBuffer) {
        if scratch.capacity <= Self.maximumScratch { self.inputScratch = scratch }
    }

    private func flush() {
        self.isScheduled = false
        // What registers from now on is flushed in the next turn.
        swap(&self.dirty, &self.flushing)
        for handler in self.flushing {
            handler.flushTurn()
        }
        self.flushing.removeAll(keepingCapacity: true)
        if self.deflateScratch.capacity > Self.maximumScratch { self.deflateScratch = ByteBuffer() }
    }
}

@available(*, unavailable)
extension WebSocketFlusher: Sendable {}
