import CrossServer
import CrossServerTesting
import HTTPTypes
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// Connections that a server of swift-nio hands over.
@Suite(.timeLimit(.minutes(2))) struct AnotherServersPortTests {
    /// Of two that were both answered one takes the last place.
    @Test func aClientThatIsOneTooManyOnAnotherServersPortIsClosed() async throws {
        let (all, release) = AsyncStream.makeStream(of: Void.self)
        let asked = Mutex(0)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumConnections = 1
        configuration.authorize = { _ in
            if asked.withLock({
                $0 += 1
                return $0 == 2
            }) {
                release.finish()
            }
            for await _ in all {}
        }
        let adapter = WebSocketCrossServerAdapter(configuration: configuration, logger: silent)
        let task = Task { try await adapter.run() }
        let channel = try await sharedPort(of: adapter)
        let address = try #require(channel.localAddress)
        async let first = TestClient.connect(to: address, target: "/")
        async let second = TestClient.connect(to: address, target: "/")
        let clients = try await [first, second]
        try await eventually { adapter.socketClientCount == 1 }
        let closes = AsyncStream<WebSocketClose>.makeStream()
        let waiting = clients.map { client in
            Task { closes.continuation.yield(try await client.closed()) }
        }
        for await close in closes.stream {
            #expect(close.code == .tryAgainLater)
            break
        }
        for task in waiting { task.cancel() }
        try await channel.close()
        task.cancel()
        try await task.value
    }

    /// The server of swift-nio keeps the port; both answer on it.
    @Test func connectionsOfAnotherServersPort() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.path = "/chat"
        configuration.limits.maximumConnections = 1
        configuration.authorize = { request in
            await Task.yield()
            if request.parameters["id"] == "bad" {
                throw UpgradeRejection(
                    status: 401,
                    reasonPhrase: "Unauthorized",
                    headers: [.retryAfter: "7"],
                    body: "who are you?"
                )
            }
        }
        let adapter = WebSocketCrossServerAdapter(configuration: configuration, logger: silent)
        adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        let task = Task { try await adapter.run() }
        let channel = try await sharedPort(of: adapter)
        let address = try #require(channel.localAddress)
        func rejection(_ target: String) async throws -> WebSocketHandshakeError? {
            await #expect(throws: WebSocketHandshakeError.self) {
                try await TestClient.connect(to: address, target: target)
            }
        }
        let refused = try await rejection("/chat?id=bad")
        #expect(refused == .rejected(status: 401, body: "who are you?", retryAfter: .seconds(7)))
        // For the server of swift-nio to answer.
        #expect(try await rejection("/other") == .rejected(status: 200, body: ""))
        let client = try await TestClient.connect(to: address, target: "/chat?id=1")
        #expect(try await client.request("echo", 1) == 1)
        #expect(adapter.socketClientCount == 1)
        #expect(try await rejection("/chat?id=2") == .rejected(status: 503, body: "Service Unavailable"))
        try await channel.close()
        task.cancel()
        try await task.value
        #expect(try await client.closed().code == .goingAway || adapter.socketClientCount == 0)
    }
}

/// A server of swift-nio whose port the adapter shares.
private func sharedPort(of adapter: WebSocketCrossServerAdapter) async throws -> any Channel {
    try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [adapter.httpUpgrader()], completionHandler: removeHello)
                )
                try pipeline.addHandler(HelloHandler())
            }
        }
        .bind(host: "127.0.0.1", port: 0).get()
}

private let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

@Sendable private func removeHello(context: ChannelHandlerContext) {
    do {
        let hello = try context.pipeline.syncOperations.context(handlerType: HelloHandler.self)
        context.pipeline.syncOperations.removeHandler(context: hello, promise: nil)
    } catch {
        Issue.record(error)
    }
}

/// Answers any HTTP request with 200.
private final class HelloHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = self.unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": "0"])
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }
}
