import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization

/// A TCP connection on which a test sends and reads what it likes.
final class RawConnection: Sendable {
    private let channel: any Channel
    private let received: Received

    private init(channel: any Channel, received: Received) {
        self.channel = channel
        self.received = received
    }

    static func open(_ address: SocketAddress) async throws -> RawConnection {
        let received = Received()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { $0.pipeline.addHandler(received) }
            .connect(to: address).get()
        return RawConnection(channel: channel, received: received)
    }

    func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text))
    }

    func send(_ bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// Waits until what has come contains the text.
    func read(until text: String) async throws -> String {
        try await eventually { self.received.text.contains(text) || self.received.isClosed }
        return self.received.text
    }

    /// Waits for the end of the connection.
    func readToEnd() async throws -> String {
        try await eventually { self.received.isClosed }
        return self.received.text
    }

    func close() async throws { try await self.channel.close() }

    private final class Received: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let state = Mutex((text: "", isClosed: false))

        var text: String { self.state.withLock { $0.text } }
        var isClosed: Bool { self.state.withLock { $0.isClosed } }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let text = String(buffer: self.unwrapInboundIn(data))
            self.state.withLock { $0.text += text }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.state.withLock { $0.isClosed = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
