public import NIOCore

/// One per event loop: collects the handlers that have something to write and flushes each once, at the end of the
/// loop's turn. Used on its loop only.
public final class WebSocketFlusher {
    private let eventLoop: any EventLoop
    private var dirty: [WebSocketHandler] = []
    private var flushing: [WebSocketHandler] = []
    private var isScheduled = false
    /// The number of the turn, of those in which something is sent.
    private(set) var turn: UInt32 = 0
    /// Whether a peer has got a second message in this turn.
    private var hasMerged = false
    private var turnsWithoutMerging = 0
    /// Buffers that the handlers of the loop share, because each needs them only for a moment.
    var inputScratch = ByteBuffer()
    var batchScratch = ByteBuffer()
    var deflateScratch = ByteBuffer()
    /// Frames for the peer of one handler, which its channel has not got yet.
    // Who writes to it sends nothing meanwhile. To check that at run time would be a good part of the work for a message.
    @exclusivity(unchecked) private var frames = ByteBuffer()
    private var framesOwner: WebSocketHandler?

    /// Larger scratch buffers are given back.
    private static let maximumScratch = 1 << 18
    /// So many turns without a second message for the same peer make another such turn likely.
    private static let usualTurns = 8
    /// Frames are collected up to this size.
    static let maximumBatchSize = 16_384

    public init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// A handler registers at most once before it is flushed.
    func register(_ handler: WebSocketHandler) {
        self.dirty.append(handler)
        self.schedule()
    }

    /// Makes the turn end.
    func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        self.eventLoop.assumeIsolated().execute {
            self.flush()
        }
    }

    /// Whether a message that waits for the end of the turn would wait for nothing, as far as the turns before show.
    var expectsNoMerging: Bool { self.turnsWithoutMerging >= Self.usualTurns }

    /// A peer gets a second message in this turn: the next ones wait, to be written with others.
    func merged() { self.hasMerged = true }

    /// Appends to the frames of a handler. Those of another one are written to its channel first, and so are its own
    /// when they have grown large.
    ///
    /// - Parameter room: bytes that will be appended.
    func withFrames(of handler: WebSocketHandler, room: Int, _ body: (inout ByteBuffer) -> Void) {
        if self.framesOwner !== handler || self.frames.readableBytes + room > Self.maximumBatchSize {
            self.framesOwner?.writeFrames()
            self.framesOwner = handler
            // The channel may still hold what was written: then this takes new memory and copies nothing.
            self.frames.clear(minimumCapacity: room)
        }
        body(&self.frames)
    }

    /// Bytes that wait here for the handler's peer.
    func frameBytes(of handler: WebSocketHandler) -> Int {
        self.framesOwner === handler ? self.frames.readableBytes : 0
    }

    /// - Returns: nil when there are none.
    func takeFrames(of handler: WebSocketHandler) -> ByteBuffer? {
        guard self.framesOwner === handler else { return nil }
        self.framesOwner = nil
        return self.frames
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
        self.turn &+= 1
        self.turnsWithoutMerging = self.hasMerged ? 0 : min(self.turnsWithoutMerging + 1, Self.usualTurns)
        self.hasMerged = false
        if self.deflateScratch.capacity > Self.maximumScratch { self.deflateScratch = ByteBuffer() }
    }
}

@available(*, unavailable)
extension WebSocketFlusher: Sendable {}
