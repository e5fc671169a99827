import CrossServer
import CrossServerTesting
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import CrossServerHummingbird

@Suite
struct PipelineTests {
    @Test(.timeLimit(.minutes(1)))
    func nothingIsLeftOfHTTPAfterTheUpgrade() async throws {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let adapter = WebSocketCrossServerAdapter(logger: logger)
        adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        let upgrade = WebSocketUpgradeChannel(
            responder: { _, _, _ in },
            port: SharedPortConnections(limits: Limits()) { _, _ in },
            configuration: .init(),
            adapter: { _ in adapter }
        )
        let (children, continuation) = AsyncStream.makeStream(of: (any Channel).self)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                continuation.yield(channel)
                return upgrade.setup(channel: channel, logger: logger).map { _ in }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try await TestClient.connect(to: try #require(server.localAddress))
        let reply = try await client.request("echo", 1)
        #expect(reply == 1)
        let child = try #require(await children.first { _ in true })
        let pipeline = try await child.eventLoop.submit { child.pipeline.debugDescription }.get()
        #expect(pipeline.contains("WebSocketHandler"), "\(pipeline)")
        for name in ["HTTP", "FirstRequest", "Handshake", "NIOAsyncChannel"] {
            #expect(!pipeline.contains(name), "\(pipeline)")
        }
        client.terminate()
        try await server.close()
    }
}
