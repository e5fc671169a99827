import ArgumentParser
import CrossServer

struct EchoServer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "server")

    @Option
    var port: Int

    func run() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.heartbeat = nil
        // Longer than any case: the cases expect nothing that they did not ask for.
        configuration.pingInterval = .seconds(3_600)
        configuration.compression = PerMessageDeflate()
        configuration.compression?.minimumSize = 0
        configuration.limits.maximumMessageSize = ConformancePeer.maximumMessageSize
        configuration.limits.maximumFragments = ConformancePeer.maximumFragments
        configuration.limits.outbound.maximumWaitingBytes = 4 * ConformancePeer.maximumMessageSize
        let adapter = WebSocketCrossServerAdapter(
            listening: .host("127.0.0.1", port: self.port),
            configuration: configuration
        )
        adapter.onWebSocketEvent(.message) { socket, message in
            try socket.send(EncodedMessage(echoing: message))
        }
        try await adapter.run()
    }
}

extension EncodedMessage {
    init(echoing message: WebSocketMessage) {
        switch message.kind {
        case .text: self.init(text: message.payload)
        case .binary: self.init(binary: message.payload)
        }
    }
}
