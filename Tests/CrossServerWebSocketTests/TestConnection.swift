import CrossServerWire
import NIOCore
import NIOEmbedded

@testable import CrossServerWebSocket

/// Remembers everything it is told.
final class TestDelegate: WebSocketHandlerDelegate {
    var messages: [Outcome] = []
    var pongs: [String] = []
    var errors: [any Error] = []
    var dropped: [String] = []
    var closes: [WebSocketClose] = []
    var excesses = 0
    var webSocketQueuedBytes = 0
    var onMessage: ((WebSocketHandler, WebSocketMessage) -> Void)?

    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        self.messages.append(Outcome(.message(message)))
        self.onMessage?(handler, message)
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {
        self.pongs.append(String(buffer: payload))
    }

    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {
        self.errors.append(error)
    }

    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {
        self.dropped.append(String(buffer: message.payload))
    }

    func webSocketExceedsMemory(_ handler: WebSocketHandler) {
        self.excesses += 1
    }

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        self.closes.append(close)
    }
}

/// Stands for the socket: counts what reaches it, can refuse to take bytes, and can be closed in one direction.
final class TestSocket: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    var isStuck = false
    var writes: [ByteBuffer] = []
    var flushCount = 0
    var readCount = 0
    var isOutputClosed = false
    /// Kept here, because the embedded channel forgets those of writes that are never flushed.
    private var promises: [EventLoopPromise<Void>] = []

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        self.writes.append(self.unwrapOutboundIn(data))
        if let promise { self.promises.append(promise) }
        context.write(data, promise: nil)
    }

    func flush(context: ChannelHandlerContext) {
        self.flushCount += 1
        guard !self.isStuck else { return }
        context.flush()
        for promise in self.takePromises() { promise.succeed() }
    }

    func read(context: ChannelHandlerContext) {
        self.readCount += 1
        context.read()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output {
            self.isOutputClosed = true
            promise?.succeed()
        } else {
            context.close(mode: mode, promise: promise)
            for promise in self.takePromises() { promise.fail(ChannelError.ioOnClosedChannel) }
        }
    }

    private func takePromises() -> [EventLoopPromise<Void>] {
        defer { self.promises = [] }
        return self.promises
    }
}

/// A handler on a channel without a network.
final class TestConnection {
    let channel = EmbeddedChannel()
    let socket = TestSocket()
    let delegate = TestDelegate()
    let flusher: WebSocketFlusher
    let handler: WebSocketHandler
    let role: WebSocketRole
    let deflate: NegotiatedDeflate?

    init(
        role: WebSocketRole = .server,
        deflate: NegotiatedDeflate? = nil,
        deflateConfiguration: PerMessageDeflate = .init(),
        flusher: WebSocketFlusher? = nil,
        configure: (inout WebSocketConfiguration) -> Void = { _ in }
    ) throws {
        var configuration = WebSocketConfiguration()
        configure(&configuration)
        self.role = role
        self.deflate = deflate
        self.flusher = flusher ?? WebSocketFlusher(eventLoop: self.channel.eventLoop)
        self.handler = WebSocketHandler(
            role: role,
            configuration: configuration,
            deflate: deflate,
            deflateConfiguration: deflateConfiguration,
            flusher: self.flusher,
            delegate: self.delegate
        )
        try self.channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.channel.pipeline.syncOperations.addHandler(self.socket)
    }

    deinit { self.channel.discard() }

    static func added(
        role: WebSocketRole = .server,
        deflate: NegotiatedDeflate? = nil,
        deflateConfiguration: PerMessageDeflate = .init(),
        configure: (inout WebSocketConfiguration) -> Void = { _ in }
    ) throws -> TestConnection {
        let connection = try TestConnection(
            role: role,
            deflate: deflate,
            deflateConfiguration: deflateConfiguration,
            configure: configure
        )
        try connection.addHandler()
        return connection
    }

    /// Sends a message that is for this peer alone.
    func sendAlone(_ text: String) -> SendResult {
        self.handler.send(.text, payloadSize: text.utf8.count) { $0.writeString(text) }
    }

    func addHandler() throws {
        try self.channel.pipeline.syncOperations.addHandler(self.handler)
    }

    /// Ends the event loop's turn.
    func turn() {
        self.channel.embeddedEventLoop.run()
    }

    func advance(_ time: TimeAmount) {
        self.channel.embeddedEventLoop.advanceTime(by: time)
    }

    func receive(_ bytes: [UInt8]) throws {
        try self.channel.writeInbound(ByteBuffer(bytes: bytes))
        self.turn()
    }

    /// Ends the peer's stream only.
    func receiveEnd() {
        self.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        self.turn()
    }

    func block() {
        self.socket.isStuck = true
        self.channel.isWritable = false
        self.channel.pipeline.fireChannelWritabilityChanged()
    }

    func unblock() {
        self.socket.isStuck = false
        self.channel.isWritable = true
        self.channel.flush()
        self.channel.pipeline.fireChannelWritabilityChanged()
        self.turn()
    }

    /// The bytes that the socket took since the last call.
    func takeBytes() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) {
            bytes += buffer.readableBytesView
        }
        return bytes
    }

    /// What a peer makes of these bytes.
    func takeOutput() throws -> [Outcome] {
        var settings = DecoderSettings()
        settings.role = self.role == .server ? .client : .server
        settings.deflate = self.deflate
        settings.maximumMessageSize = 1 << 24
        return decode([try self.takeBytes()], settings)
    }

    /// A frame as the peer of this role sends it.
    func frame(_ opcode: UInt8, _ payload: [UInt8] = [], isFinal: Bool = true) -> [UInt8] {
        FrameBytes.frame(opcode, payload, isFinal: isFinal, masked: self.role == .server)
    }

    func close(_ code: UInt16, _ reason: String = "") -> [UInt8] {
        FrameBytes.close(code, reason, masked: self.role == .server)
    }

    var isClosed: Bool { !self.channel.isActive }
}

extension EmbeddedChannel {
    /// An open channel and its handlers hold each other.
    func discard() {
        // The errors of the connection are no concern of the end of a test.
        _ = try? self.finish(acceptAlreadyClosed: true)
    }
}

extension EventLoopPromise where Value == Void {
    fileprivate func succeed() {
        self.succeed(())
    }
}

/// Carries the bytes between two connections until nothing moves.
func exchange(_ first: TestConnection, _ second: TestConnection) throws {
    var isQuiet = false
    while !isQuiet {
        isQuiet = true
        for (from, to) in [(first, second), (second, first)] {
            from.turn()
            let bytes = try from.takeBytes()
            if !bytes.isEmpty {
                isQuiet = false
                if !to.isClosed { try to.receive(bytes) }
            }
            if from.isClosed, !to.isClosed {
                isQuiet = false
                to.channel.close(promise: nil)
                to.turn()
            }
        }
    }
}
