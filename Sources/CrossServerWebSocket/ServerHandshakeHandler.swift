public import NIOCore

/// Reads one HTTP/1.1 head, lets `decide` choose, answers, then replaces itself by the handler that `upgraded` returns
/// and passes on the bytes that came after the head.
///
/// A rejection is written as an HTTP response, then the channel is closed. The caller enforces the handshake time by
/// closing the channel.
public final class ServerHandshakeHandler: ChannelDuplexHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundIn = Never
    public typealias OutboundOut = ByteBuffer

    /// - Parameters:
    ///   - maximumHeadSize: in bytes; a larger head is answered with 431. Default 16 KiB.
    ///   - decide: called once, with a head that is well-formed HTTP but not yet checked by ``ServerHandshake``.
    ///   - upgraded: returns the handler that takes over. The 101 response is written before it is added.
    ///   - failed: the handshake ended without an upgrade: ``UpgradeRejection``, ``WebSocketHandshakeError/closed`` or an
    ///     I/O error. At most once.
    public init(
        maximumHeadSize: Int = 16_384,
        decide: @escaping (UpgradeRequest, any Channel) -> UpgradeDecision,
        upgraded: @escaping (ChannelHandlerContext, UpgradeRequest, UpgradeAcceptance) -> WebSocketHandler,
        failed: @escaping (any Error) -> Void
    ) {
    }
}

@available(*, unavailable)
extension ServerHandshakeHandler: Sendable {}
