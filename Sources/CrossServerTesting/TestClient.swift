public import CrossServerWebSocket
public import CrossServerWire
public import NIOCore
import NIOPosix
import Synchronization

/// A WebSocket client for tests: it sends what it is told and keeps what it gets, in order, until a test asks for it.
///
/// Waiting calls end with ``TestClientError/timeout`` after 30 seconds.
public final class TestClient: Sendable {
    private let channel: any Channel
    private let handler: NIOLoopBound<WebSocketHandler>
    private let inbox: Inbox
    private let requests = Atomic<Int>(0)

    private init(channel: any Channel, handler: NIOLoopBound<WebSocketHandler>, inbox: Inbox) {
        self.channel = channel
        self.handler = handler
        self.inbox = inbox
    }

    /// Opens a connection and waits for the end of the handshake.
    public static func connect(
        to address: SocketAddress,
        target: String = "/",
        subprotocols: [String] = [],
        compression: PerMessageDeflate? = nil,
        maximumMessageSize: Int = 64 << 20
    ) async throws -> TestClient {
        let inbox = Inbox()
        let handshake = ClientHandshake(
            host: "127.0.0.1:\(address.port ?? 0)",
            target: target,
            subprotocols: subprotocols,
            deflate: compression
        )
        let group = MultiThreadedEventLoopGroup.singleton
        let opened = group.any().makePromise(of: NIOLoopBound<WebSocketHandler>.self)
        // As patient as everything else here, on a machine that has much to do.
        let bootstrap = ClientBootstrap(group: group).connectTimeout(.seconds(60)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                var configuration = WebSocketConfiguration()
                configuration.maximumMessageSize = maximumMessageSize
                let connection = configuration
                try channel.pipeline.syncOperations.addHandler(
                    ClientHandshakeHandler(
                        handshake: handshake,
                        upgraded: { context, _, deflate in
                            let handler = WebSocketHandler(
                                role: .client,
                                configuration: connection,
                                deflate: deflate,
                                deflateConfiguration: compression ?? PerMessageDeflate(),
                                flusher: WebSocketFlusher(eventLoop: context.eventLoop),
                                delegate: inbox
                            )
                            opened.succeed(NIOLoopBound(handler, eventLoop: context.eventLoop))
                            return handler
                        },
                        failed: { opened.fail($0) }
                    )
                )
            }
        }
        let channel: any Channel
        do {
            channel = try await bootstrap.connect(to: address).get()
        } catch {
            opened.fail(error)
            throw error
        }
        return TestClient(channel: channel, handler: try await opened.futureResult.get(), inbox: inbox)
    }

    /// Sends a text message as it is.
    public func send(_ text: String) {
        self.onHandler { _ = $0.send(EncodedMessage(text: text)) }
    }

    public func send(binary: ByteBuffer) {
        self.onHandler { _ = $0.send(EncodedMessage(binary: binary)) }
    }

    /// Sends an event.
    public func emit(_ event: String, _ payload: Payload = .absent) {
        self.onHandler { _ = $0.send(Self.message(event, payload, callbackId: nil)) }
    }

    /// Sends an event and waits for the reply. Other messages that arrive meanwhile are kept.
    ///
    /// - Throws: ``RequestFailure`` when the server answers with one.
    public func request(_ event: String, _ payload: Payload = .absent) async throws -> Payload {
        let id = "~test-\(self.requests.add(1, ordering: .relaxed).newValue)"
        let callbackId = CallbackID(id)
        let start = self.inbox.received
        self.onHandler { _ = $0.send(Self.message(event, payload, callbackId: callbackId)) }
        let envelope = try await self.inbox.take(from: start) { message -> Envelope? in
            // A message that is no envelope is not the reply.
            let envelope = try? Envelope(scanning: message.payload)
            return envelope?.callbackId?.string == id ? envelope : nil
        }
        if let error = envelope.error { throw try error.decode(RequestFailure.self) }
        return envelope.payload
    }

    /// The next message that was not asked for yet.
    public func nextMessage() async throws -> WebSocketMessage {
        try await self.inbox.take { $0 }
    }

    /// The next message as text.
    public func nextText() async throws -> String {
        String(buffer: try await self.nextMessage().payload)
    }

    /// The payload of the next pushed event with the name. Other messages are kept.
    public func next(_ event: String) async throws -> Payload {
        try await self.inbox.take { message in
            // A message that is no envelope is not the event.
            let envelope = try? Envelope(scanning: message.payload)
            return envelope?.event == event && envelope?.hasCallbackId == false ? envelope?.payload : nil
        }
    }

    /// Messages that came and that no call has taken.
    public var waitingMessages: [WebSocketMessage] {
        self.inbox.messages
    }

    /// Waits for the end of the connection.
    public func closed() async throws -> WebSocketClose {
        try await self.inbox.closed()
    }

    public func close(_ code: CloseCode = .normalClosure, reason: String = "") {
        self.onHandler { $0.close(code: code, reason: reason) }
    }

    /// Cuts the connection without a close handshake.
    public func terminate() {
        self.onHandler { $0.terminate() }
    }

    /// Stops or goes on reading from the connection.
    public func setReading(_ isReading: Bool) {
        self.onHandler { handler in
            if isReading { handler.resumeReading() } else { handler.pauseReading() }
        }
    }

    private func onHandler(_ body: @escaping @Sendable (WebSocketHandler) -> Void) {
        self.channel.eventLoop.execute { body(self.handler.value) }
    }

    private static func message(_ event: String, _ payload: Payload, callbackId: CallbackID?) -> EncodedMessage {
        EncodedMessage(kind: .text, payloadCapacity: payload.buffer.readableBytes + 128) { buffer in
            buffer.writeEnvelope(event: event, payload: payload, callbackId: callbackId)
        }
    }
}

/// Why a wait of a test has failed.
public enum TestClientError: Error, Hashable, Sendable {
    /// What was waited for did not come.
    case timeout
    /// The connection ended before it came.
    case connectionClosed(CloseCode, String)
    case conditionNotMet
    case serverEnded
}

/// What a client has got, in order.
private final class Inbox: WebSocketHandlerDelegate, Sendable {
    private struct State {
        /// Those that no call has taken, with their numbers.
        var messages: [(number: Int, message: WebSocketMessage)] = []
        var received = 0
        var close: WebSocketClose?
    }

    private let state = Mutex(State())

    var messages: [WebSocketMessage] { self.state.withLock { $0.messages.map(\.message) } }

    /// How many messages have come so far, those that were taken among them.
    var received: Int { self.state.withLock { $0.received } }

    /// Waits for the first message that `select` takes, and removes it. Looks at each message once.
    ///
    /// - Parameter start: the number of the first message to look at.
    func take<Result>(from start: Int = 0, _ select: (WebSocketMessage) throws -> Result?) async throws -> Result {
        var start = start
        return try await self.wait { state throws in
            let first = state.messages.firstIndex { $0.number >= start } ?? state.messages.endIndex
            for index in state.messages[first...].indices {
                if let result = try select(state.messages[index].message) {
                    state.messages.remove(at: index)
                    return result
                }
            }
            start = state.received
            if let close = state.close { throw TestClientError.connectionClosed(close.code, close.reason) }
            return nil
        }
    }

    func closed() async throws -> WebSocketClose {
        try await self.wait { $0.close }
    }

    private func wait<Result>(for select: (inout State) throws -> Result?) async throws -> Result {
        var patience = Patience(.seconds(30))
        while true {
            if let result = try self.state.withLock({ try select(&$0) }) { return result }
            if patience.isOver() { throw TestClientError.timeout }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        self.state.withLock { state in
            state.messages.append((state.received, message))
            state.received += 1
        }
    }

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        self.state.withLock { $0.close = close }
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {}
    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {}
    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {}
}
