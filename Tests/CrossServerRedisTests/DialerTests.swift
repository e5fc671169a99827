import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import CrossServerRedis

/// How a connection begins.
@Suite struct DialerTests {
    /// A channel that becomes active tells so the handlers that are added at that moment, too.
    @Test(.timeLimit(.minutes(1)))
    func theHandshakeIsSaidOnce() async throws {
        let commands = Mutex<[[String]]>([])
        let server = try await ScriptedRedis.start { command in
            commands.withLock { $0.append(command) }
            return ScriptedRedis.good(command)
        }
        try await self.dial(server, [.select(1), .ping]) { channel in
            channel.write(ByteBuffer(string: "*1\r\n$4\r\nECHO\r\n"), promise: nil)
            channel.flush()
        }
        try await eventually("the command behind it") { commands.withLock { $0.contains(["ECHO"]) } }
        #expect(commands.withLock { $0 } == [["SELECT", "1"], ["PING"], ["ECHO"]])
        try await server.stop()
    }

    /// Nobody would see it: the handler that uses the connection is not there yet.
    @Test(.timeLimit(.minutes(1)), arguments: ["+PONG\r\n+PONG\r\n", "+PONG\r\n+", "+PONG\r\n:1\r\n"])
    func whatComesBehindTheLastAnswerIsAnError(answer: String) async throws {
        let server = try await ScriptedRedis.start { _ in answer }
        let failure = await #expect(throws: RedisFailure.self) { try await self.dial(server, [.ping]) { _ in } }
        #expect(failure?.kind == .protocolViolation)
        try await server.stop()
    }

    private func dial(
        _ server: ScriptedRedis,
        _ steps: [RedisHandshake.Step],
        then body: @escaping @Sendable (any Channel) -> Void
    ) async throws {
        let node = try RedisNode(server.url)
        guard case .server(let address) = node.endpoint else { return }
        let dialer = RedisDialer(
            eventLoop: MultiThreadedEventLoopGroup.singleton.next(),
            tls: nil,
            keepAlive: true
        )
        try await dialer.dial(address, saying: RedisHandshake(steps: steps), within: .seconds(60)) { channel, _ in
            body(channel)
        }
    }
}
