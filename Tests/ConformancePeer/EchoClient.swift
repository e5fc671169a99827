import ArgumentParser
import CrossServerWebSocket
import NIOCore
import NIOPosix

struct EchoClient: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "client")

    @Option(help: "Of the fuzzing server on this machine.")
    var port: Int

    @Flag(help: "Offer client_no_context_takeover: cases of 13.2, 13.5 and 13.6 are not run without it.")
    var clientNoContextTakeover = false

    func run() async throws {
        guard let count = Int(try await self.converse("/getCaseCount", echoes: false)) else {
            throw ValidationError("the fuzzing server does not say how many cases it has")
        }
        for number in 1...max(count, 1) {
            try await self.converse("/runCase?case=\(number)&agent=ConformancePeer", echoes: true)
        }
        try await self.converse("/updateReports?agent=ConformancePeer", echoes: false)
        print("\(count) cases")
    }

    /// One connection, from the handshake to its end.
    ///
    /// - Returns: the last text that came, if it was not echoed.
    @discardableResult
    private func converse(_ target: String, echoes: Bool) async throws -> String {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let ended = eventLoop.makePromise(of: String.self)
        var deflate = PerMessageDeflate()
        deflate.minimumSize = 0
        deflate.clientNoContextTakeover = self.clientNoContextTakeover
        let offer = deflate
        let handshake = ClientHandshake(host: "127.0.0.1:\(self.port)", target: target, deflate: offer)
        let bootstrap = ClientBootstrap(group: eventLoop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let handler = ClientHandshakeHandler(
                    handshake: handshake,
                    upgraded: { context, _, negotiated in
                        WebSocketHandler(
                            role: .client,
                            configuration: Self.webSocketConfiguration(),
                            deflate: negotiated,
                            deflateConfiguration: offer,
                            flusher: WebSocketFlusher(eventLoop: context.eventLoop),
                            delegate: Conversation(echoes: echoes, ended: ended)
                        )
                    },
                    failed: { ended.fail($0) }
                )
                try channel.pipeline.syncOperations.addHandler(handler)
            }
        }
        do {
            _ = try await bootstrap.connect(host: "127.0.0.1", port: self.port).get()
        } catch {
            ended.fail(error)
        }
        return try await ended.futureResult.get()
    }

    private static func webSocketConfiguration() -> WebSocketConfiguration {
        var configuration = WebSocketConfiguration()
        configuration.maximumMessageSize = ConformancePeer.maximumMessageSize
        configuration.maximumFragments = ConformancePeer.maximumFragments
        configuration.outbound.maximumWaitingBytes = 4 * ConformancePeer.maximumMessageSize
        return configuration
    }
}

private final class Conversation: WebSocketHandlerDelegate {
    private let echoes: Bool
    private let ended: EventLoopPromise<String>
    private var lastText = ""

    init(echoes: Bool, ended: EventLoopPromise<String>) {
        self.echoes = echoes
        self.ended = ended
    }

    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage) {
        if self.echoes {
            _ = handler.send(EncodedMessage(echoing: message))
        } else {
            self.lastText = String(buffer: message.payload)
        }
    }

    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose) {
        self.ended.succeed(self.lastText)
    }

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer) {}
    func webSocket(_ handler: WebSocketHandler, failed error: any Error) {}
    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage) {}
}
