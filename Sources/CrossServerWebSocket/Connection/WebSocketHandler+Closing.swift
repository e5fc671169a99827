public import CrossServerWire
import NIOCore

extension WebSocketHandler {
    /// Starts the close handshake once everything that is queued was written.
    ///
    /// - Parameters:
    ///   - code: nil sends a Close frame without a body. A code that must not be sent is replaced by 1000.
    ///   - reason: cut to 123 bytes at a character boundary.
    public func close(code: CloseCode?, reason: String = "") {
        let allowed = code.map { $0.isAllowedOnTheWire ? $0 : .normalClosure }
        self.perform(self.closing.close(.init(code: allowed, reason: reason)))
    }

    /// Cuts the connection at once; the close code is 1006.
    public func terminate() {
        self.closing.cut()
        self.queue.removeAll()
        _ = self.flusher.takeFrames(of: self)
        self.waitingClose = nil
        self.context?.close(promise: nil)
    }

    func perform(_ action: CloseStateMachine.Action) {
        guard self.delegate != nil else { return }
        switch action {
        case .none:
            break
        case .sendClose(let frame):
            self.waitingClose = frame
            self.register()
            self.startDeadline()
            // The peer's Close frame or end of stream must be read.
            self.resumeReading()
        case .closeOutput:
            self.context?.close(mode: .output, promise: nil)
        case .closeChannel:
            self.context?.close(promise: nil)
        }
    }

    /// Tells the delegate, once, and lets go of everything.
    func finish() {
        guard let close = self.closing.ended() else { return }
        self.deadline?.cancel()
        self.deadline = nil
        self.queue.removeAll()
        _ = self.flusher.takeFrames(of: self)
        self.controls = nil
        self.waitingClose = nil
        self.decoder.discard()
        let delegate = self.delegate
        self.delegate = nil
        delegate?.webSocket(self, closed: close)
    }

    func writeClose(_ frame: CloseFrame, context: ChannelHandlerContext) {
        var buffer = ByteBuffer()
        buffer.writeFrame(.close, payload: frame.payload, maskingKey: self.role == .client ? .random() : nil)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess {
            self.perform(self.closing.written())
        }
        self.channelBytes += buffer.readableBytes
        context.write(self.wrapOutboundOut(buffer), promise: promise)
    }

    func startDeadline() {
        guard self.deadline == nil, let eventLoop = self.context?.eventLoop else { return }
        self.deadline = eventLoop.assumeIsolated().scheduleTask(in: self.closeTimeout) {
            self.context?.close(promise: nil)
        }
    }
}
