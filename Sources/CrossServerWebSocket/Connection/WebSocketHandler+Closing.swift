public import CrossServerWire
import NIOCore

extension WebSocketHandler {
    /// How often a peer that still takes what it was sent gets the time to close again.
    static let maximumCloseExtensions = 10

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
        self.discardOutput()
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
            self.startDeadline(extensions: self.closing.isFailed ? 0 : Self.maximumCloseExtensions)
            // The peer's Close frame or end of stream must be read.
            self.resumeReading()
        case .closeOutput:
            self.context?.close(mode: .output, promise: nil)
        case .closeChannel:
            self.context?.close(promise: nil)
        case .finishAnswering:
            self.delegate?.webSocketInputEnded(self)
            // A peer that is gone for good, and not in this direction only, resets the connection now.
            self.ping()
        }
    }

    /// Tells the delegate, once, and lets go of everything.
    func finish() {
        guard let close = self.closing.ended() else { return }
        self.deadline?.cancel()
        self.deadline = nil
        self.discardOutput()
        _ = self.flusher.takeFrames(of: self)
        self.controls = nil
        self.waitingClose = nil
        self.discardInput()
        self.releaseMemory()
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
        self.writtenBytes &+= buffer.readableBytes
        context.write(self.wrapOutboundOut(buffer), promise: promise)
    }

    /// Cuts the connection after the time to close, unless the peer has meanwhile taken some of what is before the Close
    /// frame; then it gets that time again, so often and no more.
    func startDeadline(extensions: Int) {
        guard self.deadline == nil, let eventLoop = self.context?.eventLoop else { return }
        _ = self.progress.hasAdvanced(to: self.outboundState)
        self.deadline = eventLoop.assumeIsolated().scheduleTask(in: self.closeTimeout) {
            self.deadline = nil
            if extensions > 0, self.progress.hasAdvanced(to: self.outboundState) {
                self.startDeadline(extensions: extensions - 1)
            } else {
                self.context?.close(promise: nil)
            }
        }
    }
}
