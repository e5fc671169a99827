public import NIOCore

/// One per event loop: collects the handlers that have something to write and flushes each once, at the end of the
/// loop's turn. Those that have read more than may be handled in a turn go on from here. Used on its loop only.
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
    // It calls nothing: not checked at run time, because it is used for each message.
    @exclusivity(unchecked) private(set) var turns: InboundTurns<WebSocketHandler>
    private let backlog: DeliveryBacklog?
    private var isTurnScheduled = false

    /// The work of a turn in which a server handles what its clients sent: some milliseconds.
    package static let defaultWorkPerTurn = 4_096
    /// The event loop looks at its sockets before the next turn only when nothing else is due.
    private static let pause = TimeAmount.microseconds(20)
    private static let backlogPause = TimeAmount.microseconds(200)
    /// Larger scratch buffers are given back.
    private static let maximumScratch = 1 << 18
    /// So many turns without a second message for the same peer make another such turn likely.
    private static let usualTurns = 8
    /// Frames are collected up to this size.
    static let maximumBatchSize = 16_384

    /// Whatever is read is handled at once.
    public convenience init(eventLoop: any EventLoop) {
        self.init(eventLoop: eventLoop, workPerTurn: .max, backlog: nil)
    }

    /// - Parameters:
    ///   - workPerTurn: see ``InboundTurns``.
    ///   - backlog: of the server; while it is too long little is handled.
    package init(eventLoop: any EventLoop, workPerTurn: Int, backlog: DeliveryBacklog?) {
        self.eventLoop = eventLoop
        self.turns = InboundTurns(work: workPerTurn)
        self.backlog = backlog
    }

    /// Whether what is read now has to wait for another turn.
    var isTurnOver: Bool { self.turns.isOver || self.backlog?.isOver == true }

    var turnLimit: Int { self.turns.limit(isNarrow: self.backlog?.isOver == true) }

    /// Counts work against this turn: a message to many clients, for example.
    package func spend(_ work: Int) { self.turns.spend(work) }

    /// The handler has read more than it may handle now.
    func goOnLater(_ handler: WebSocketHandler) {
        self.turns.append(handler)
        self.schedule()
    }

    /// At the end of a turn, when nothing else is left to do in it: what the event loop is told to execute at once comes
    /// before it looks at its sockets.
    private func scheduleTurn() {
        guard !self.turns.isEmpty, !self.isTurnScheduled else { return }
        self.isTurnScheduled = true
        let pause = self.backlog?.isOver == true ? Self.backlogPause : Self.pause
        self.eventLoop.assumeIsolated().scheduleTask(in: pause) {
            self.isTurnScheduled = false
            self.takeTurns()
        }
    }

    private func takeTurns() {
        // Those who are still behind come back to the end of the queue. One goes on in any case.
        var count = self.turns.count
        repeat {
            self.turns.popFirst()?.takeTurn()
            count -= 1
        } while count > 0 && !self.isTurnOver
        self.schedule()
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
        self.turns.begin()
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
        self.scheduleTurn()
    }
}

@available(*, unavailable)
extension WebSocketFlusher: Sendable {}
