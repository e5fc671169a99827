import CrossServerWire

/// The closing handshake (RFC 6455, section 7), without I/O.
struct CloseStateMachine {
    enum Action: Equatable {
        case none
        /// Write this Close frame behind what is queued, report it with ``written()``, and start the deadline.
        case sendClose(CloseFrame)
        /// Send no more, read and discard until the peer closes too: closing at once could reset the connection before
        /// the peer has read the Close frame.
        case closeOutput
        case closeChannel
        /// The peer sends no more, and has not said goodbye: close when all that it has asked is answered.
        case finishAnswering
    }

    private let role: WebSocketRole
    /// Our Close frame, from the moment it is queued.
    private var sent: CloseFrame?
    private var received: CloseFrame?
    private var isWritten = false
    private var isInputEnded = false
    /// Its stream ended before either side had sent a Close frame.
    private var endedByPeer = false
    private var isCut = false
    private var isEnded = false
    /// The peer broke the protocol, or holds too much.
    private(set) var isFailed = false

    init(role: WebSocketRole) {
        self.role = role
    }

    /// Whether messages can be sent and are delivered.
    var isOpen: Bool { self.sent == nil && !self.isCut && !self.isEnded }

    /// Whether what the peer sends still means something.
    var acceptsInput: Bool { self.received == nil && !self.isFailed && !self.isCut && !self.isEnded }

    mutating func close(_ frame: CloseFrame) -> Action {
        guard self.isOpen else { return .none }
        self.sent = frame
        return .sendClose(frame)
    }

    mutating func receivedClose(_ frame: CloseFrame) -> Action {
        guard self.acceptsInput else { return .none }
        self.received = frame
        if self.sent == nil {
            return self.close(frame)
        }
        return self.afterWriting()
    }

    /// The peer broke the protocol, or holds too much. Nothing it sends is read any more.
    mutating func failed(_ frame: CloseFrame) -> Action {
        guard self.acceptsInput else { return .none }
        self.isFailed = true
        if self.sent == nil {
            return self.close(frame)
        }
        return self.afterWriting()
    }

    /// The kernel has our Close frame.
    mutating func written() -> Action {
        self.isWritten = true
        return self.afterWriting()
    }

    /// The peer sends no more. What it has asked is answered, and the close handshake ends with our frame.
    mutating func inputEnded() -> Action {
        guard !self.isInputEnded else { return .none }
        self.isInputEnded = true
        if self.sent == nil {
            self.endedByPeer = true
            return self.isCut || self.isEnded ? .none : .finishAnswering
        }
        return self.afterWriting()
    }

    /// The connection is cut on this side.
    mutating func cut() {
        self.isCut = true
    }

    /// The channel is gone.
    ///
    /// - Returns: nil but the first time.
    mutating func ended() -> WebSocketClose? {
        guard !self.isEnded else { return nil }
        self.isEnded = true
        if let received = self.received {
            return .init(
                code: received.code ?? .noStatusReceived,
                reason: received.reason,
                wasClean: self.isWritten
            )
        }
        if let sent = self.sent, !self.isCut, !self.endedByPeer {
            return .init(code: sent.code ?? .noStatusReceived, reason: sent.reason, wasClean: false)
        }
        return .init(code: .abnormalClosure, reason: "", wasClean: false)
    }

    private func afterWriting() -> Action {
        guard self.isWritten else { return .none }
        if self.isInputEnded { return .closeChannel }
        if self.isFailed { return .closeOutput }
        // The server closes first, so that the lingering state of TCP is not the client's (section 7.1.1).
        return self.received != nil && self.role == .server ? .closeChannel : .none
    }
}
