import CrossServerWebSocket
import CrossServerWire
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A server that does exactly what a test says, right or wrong.
final class ScriptedServer: Sendable {
    enum Handshake: Sendable {
        case accept
        case reject(UpgradeRejection)
        /// Accepts the TCP connection and never says a word.
        case silent
    }

    struct Script: Sendable {
        var handshake = Handshake.accept
        /// Echoes empty texts.
        var answersHeartbeat = true
        /// Never reads anything after the handshake: like a stopped process.
        var isFrozen = false
        var onMessage: @Sendable (ScriptedConnection, String) -> Void = { _, _ in }
    }

    let channel: any Channel
    private let shared: Shared

    private final class Shared: Sendable {
        let connections = Mutex<[ScriptedConnection]>([])
        let channels = Mutex<[any Channel]>([])
    }

    private init(channel: any Channel, shared: Shared) {
        self.channel = channel
        self.shared = shared
    }

    static func start(port: Int = 0, _ script: Script = Script()) async throws -> ScriptedServer {
        let shared = Shared()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    shared.channels.withLock { $0.append(channel) }
                    if case .silent = script.handshake { return }
                    var made: ScriptedConnection?
                    let handler = ServerHandshakeHandler(
                        decide: { request, channel in
                            if case .reject(let rejection) = script.handshake { return .reject(rejection) }
                            do throws(UpgradeRejection) {
                                let acceptance = try ServerHandshake.accept(request)
                                // Known before the client can be open.
                                let connection = ScriptedConnection(channel: channel, request: request, script)
                                shared.connections.withLock { $0.append(connection) }
                                made = connection
                                return .accept(acceptance)
                            } catch {
                                return .reject(error)
                            }
                        },
                        upgraded: { context, request, _ in
                            let connection =
                                made ?? ScriptedConnection(channel: context.channel, request: request, script)
                            return connection.makeHandler(context.eventLoop)
                        },
                        failed: { _ in }
                    )
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return ScriptedServer(channel: channel, shared: shared)
    }

    var port: Int { self.channel.localAddress?.port ?? 0 }
    var url: String { "ws://127.0.0.1:\(self.port)" }
    var connections: [ScriptedConnection] { self.shared.connections.withLock { $0 } }
    /// TCP connections, with or without a handshake.
    var accepts: Int { self.shared.channels.withLock { $0.count } }

    /// As if the process were killed: no Close frames.
    func kill() async throws {
        try await self.channel.close().get()
        for channel in self.shared.channels.withLock({ $0 }) { channel.close(mode: .all, promise: nil) }
    }
}

func withScriptedServer<Result>(
    _ script: ScriptedServer.Script = .init(),
    _ body: (ScriptedServer) async throws -> Result
) async throws -> Result {
    let server = try await ScriptedServer.start(script)
    do {
        let result = try await body(server)
        try? await server.kill()  // the test may have killed it already
        return result
    } catch {
        try? await server.kill()  // as above
        throw error
    }
}

/// The server's end of one connection.
final class ScriptedConnection: Sendable {
    let channel: any Channel
    let request: UpgradeRequest
    private let script: ScriptedServer.Script
    private let state = Mutex(State())

    private struct State {
        var texts: [String] = []
        var close: WebSocketClose?
        var handler: NIOLoopBound<WebSocketHandler>?
    }

    fileprivate init(channel: any Channel, request: UpgradeRequest, _ script: ScriptedServer.Script) {
        self.channel = channel
        self.request = request
        self.script = script
    }

    fileprivate func makeHandler(_ eventLoop: any EventLoop) -> WebSocketHandler {
        let handler = WebSocketHandler(
            role: .server,
            configuration: WebSocketConfiguration(),
            deflate: nil,
            flusher: WebSocketFlusher(eventLoop: eventLoop),
            delegate: self
        )
        let bound = NIOLoopBound(handler, eventLoop: eventLoop)
        self.state.withLock { $0.handler = bound }
        if self.script.isFrozen { handler.pauseReading() }
        return handler
    }

    /// What the client has sent, without heartbeats.
    var texts: [String] { self.state.withLock { $0.texts } }
    var close: WebSocketClose? { self.state.withLock { $0.close } }

    private func onHandler(_ body: @escaping @Sendable (WebSocketHandler) -> Void) {
        // The client may know that it is connected a moment before the handler is there, but in the same turn of the loop.
        self.channel.eventLoop.execute {
            if let handler = self.state.withLock({ $0.handler }) { body(handler.value) }
        }
    }

    func send(_ text: String) {
        self.onHandler { _ = $0.send(EncodedMessage(text: text)) }
    }

    func sendBinary(_ bytes: [UInt8]) {
        self.onHandler { _ = $0.send(EncodedMessage(binary: ByteBuffer(bytes: bytes))) }
    }

    func close(_ code: CloseCode, _ reason: String) {
        self.onHandler { $0.close(code: code, reason: reason) }
    }

    /// Writes bytes that are no frame.
    func write(_ bytes: [UInt8]) {
        self.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    /// Ends the connection without a Close frame.
    func end() {
        self.channel.close(promise: nil)
    }

    /// Ends the connection with a TCP reset.
    func reset() {
        guard let options = self.channel as? any SocketOptionProvider else { return }
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in self.channel.close(promise: nil) }
    }
}

extension ScriptedConnection: WebSocketHandlerDelegate {
    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        let text = String(buffer: message.payload)
        if text.isEmpty {
            if self.script.answersHeartbeat { _ = handler.send(EncodedMessage(text: "")) }
            return
        }
        self.state.withLock { $0.texts.append(text) }
        self.script.onMessage(self, text)
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {}
    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {}
    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {}

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        self.state.withLock { $0.close = close }
    }
}
