package import NIOCore
import NIOPosix
import Synchronization

/// A TCP connection on which a test sends and reads what it likes.
package final class RawConnection: Sendable {
    /// The head of a request for a WebSocket.
    package static let upgrade =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

    private let channel: any Channel
    private let received: Received

    private init(channel: any Channel, received: Received) {
        self.channel = channel
        self.received = received
    }

    package static func open(_ address: SocketAddress) async throws -> RawConnection {
        let received = Received()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { $0.pipeline.addHandler(received) }
            .connect(to: address).get()
        return RawConnection(channel: channel, received: received)
    }

    /// Opens a connection and ends the handshake.
    package static func openWebSocket(_ address: SocketAddress) async throws -> RawConnection {
        let connection = try await self.open(address)
        try await connection.send(self.upgrade)
        _ = try await connection.read(until: "\r\n\r\n")
        return connection
    }

    package func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text))
    }

    package func send(_ bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// A text message that is masked with zeros.
    ///
    /// - Parameter announced: the length in the header, when it is not that of the text.
    package static func frame(_ text: String, announced: Int? = nil) -> [UInt8] {
        let length = announced ?? text.utf8.count
        // The shortest form of the length (RFC 6455, section 5.2).
        let size = length < 126 ? 0 : length <= 0xFFFF ? 2 : 8
        let first = size == 0 ? UInt8(length) : size == 2 ? 126 : 127
        let extended = (0..<size).map { UInt8(truncatingIfNeeded: length >> (8 * (size - 1 - $0))) }
        return [0x81, 0x80 | first] + extended + [0, 0, 0, 0] + text.utf8
    }

    /// Sends no more; what comes is still read.
    package func closeOutput() async throws { try await self.channel.close(mode: .output) }

    /// Stops or goes on reading.
    package func setReading(_ isReading: Bool) async throws {
        try await self.channel.setOption(.autoRead, value: isReading).get()
    }

    /// Waits until what has come contains the text.
    package func read(until text: String) async throws -> String {
        try await eventually { self.received.text.contains(text) || self.received.isClosed }
        return self.received.text
    }

    /// Waits for the end of the connection.
    package func readToEnd() async throws -> String {
        try await eventually { self.received.isClosed }
        return self.received.text
    }

    /// Ends the connection, if the server has not done so already.
    package func close() async throws {
        do {
            try await self.channel.close()
        } catch ChannelError.alreadyClosed {}
    }

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
