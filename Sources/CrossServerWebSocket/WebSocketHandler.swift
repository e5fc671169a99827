public import CrossServerWire
public import NIOCore

/// One WebSocket connection after the handshake, as the last handler of its channel.
public final class WebSocketHandler: ChannelDuplexHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = Never
    public typealias OutboundIn = Never
    public typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?

    public init(
        role: WebSocketRole,
        configuration: WebSocketConfiguration,
        deflate: NegotiatedDeflate?,
        deflateConfiguration: PerMessageDeflate = .init(),
        flusher: WebSocketFlusher,
        delegate: any WebSocketHandlerDelegate
    ) {
    }

    /// The channel while the handler is in its pipeline.
    public var channel: (any Channel)? { self.context?.channel }

    /// Whether messages can be sent.
    public var isOpen: Bool { true }

    /// Bytes that the kernel has not taken yet: ours and the channel's.
    public var waitingBytes: Int { 0 }

    /// Queues a message; it is written at the end of the event loop's turn.
    public func send(_ message: EncodedMessage) -> SendResult { .closing }

    /// - Parameter payload: at most 125 bytes, the rest is cut.
    public func ping(_ payload: ByteBuffer = .init()) {}

    /// Starts the close handshake once everything that is queued was written.
    ///
    /// - Parameters:
    ///   - code: nil sends a Close frame without a body. A code that must not be sent is replaced by 1000.
    ///   - reason: cut to 123 bytes at a character boundary.
    public func close(code: CloseCode?, reason: String = "") {}

    /// Cuts the connection at once; the close code is 1006.
    public func terminate() {}

    /// No new bytes are read from the kernel until ``resumeReading()``. What was read is still delivered. Idempotent.
    public func pauseReading() {}

    public func resumeReading() {}
}

@available(*, unavailable)
extension WebSocketHandler: Sendable {}
