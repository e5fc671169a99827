public import NIOCore

/// Sends the client's handshake as soon as the channel is active, then replaces itself by the handler that `upgraded`
/// returns and passes on the bytes that came after the answer.
///
/// When it fails the channel is closed. The caller enforces the handshake time by closing the channel.
public final class ClientHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    /// - Parameters:
    ///   - maximumHeadSize: of the answer, in bytes. Default 16 KiB.
    ///   - upgraded: gets the negotiated subprotocol and compression, returns the handler that takes over.
    ///   - failed: ``WebSocketHandshakeError`` or an I/O error. At most once.
    public init(
        handshake: ClientHandshake,
        maximumHeadSize: Int = 16_384,
        upgraded: @escaping (ChannelHandlerContext, String?, NegotiatedDeflate?) -> WebSocketHandler,
        failed: @escaping (any Error) -> Void
    ) {
    }
}

@available(*, unavailable)
extension ClientHandshakeHandler: Sendable {}
