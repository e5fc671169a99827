import CrossServerWebSocket
import NIOCore
import NIOEmbedded

/// Takes what is written and counts it, in place of a socket.
final class Sink: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    private(set) var byteCount = 0
    var onWrite: ((ByteBuffer) -> Void)?

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let buffer = self.unwrapOutboundIn(data)
        self.byteCount += buffer.readableBytes
        self.onWrite?(buffer)
        promise?.succeed(())
    }

    func flush(context: ChannelHandlerContext) {}
}

/// A `WebSocketHandler` on a channel without a socket.
final class EmbeddedConnection {
    let channel: EmbeddedChannel
    let sink = Sink()
    let handler: WebSocketHandler
    let delegate = Delegate()

    final class Delegate: WebSocketHandlerDelegate {
        var messageCount = 0
        var onMessage: ((WebSocketHandler, WebSocketMessage) -> Void)?

        func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
            self.messageCount += 1
            self.onMessage?(handler, message)
        }

        func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {}
        func webSocket(_ handler: WebSocketHandler, failed error: any Error) { fatalError("\(error)") }
        func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {}
        func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {}
    }

    init(role: WebSocketRole = .server, deflate: NegotiatedDeflate? = nil) throws {
        self.channel = EmbeddedChannel()
        self.handler = WebSocketHandler(
            role: role,
            configuration: WebSocketConfiguration(),
            deflate: deflate,
            flusher: WebSocketFlusher(eventLoop: self.channel.eventLoop),
            delegate: self.delegate
        )
        try self.channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.channel.pipeline.syncOperations.addHandlers(self.sink, self.handler)
    }

    /// A turn of the event loop in which the bytes arrive.
    func receive(_ bytes: ByteBuffer) {
        self.channel.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
        self.turn()
    }

    func turn() {
        self.channel.embeddedEventLoop.run()
    }
}

enum ClientFrame {
    /// A frame as a client sends it (RFC 6455, section 5.2).
    static func bytes(text: Bool, _ payload: some Collection<UInt8>) -> ByteBuffer {
        let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
        var buffer = ByteBuffer()
        buffer.writeInteger(text ? UInt8(0x81) : 0x82)
        switch payload.count {
        case ..<126:
            buffer.writeInteger(0x80 | UInt8(payload.count))
        case ..<65_536:
            buffer.writeInteger(UInt8(0xFE))
            buffer.writeInteger(UInt16(payload.count))
        default:
            buffer.writeInteger(UInt8(0xFF))
            buffer.writeInteger(UInt64(payload.count))
        }
        buffer.writeBytes(key)
        buffer.writeBytes(payload.enumerated().map { $1 ^ key[$0 & 3] })
        return buffer
    }

    static func text(_ text: String) -> ByteBuffer { self.bytes(text: true, Array(text.utf8)) }
}
