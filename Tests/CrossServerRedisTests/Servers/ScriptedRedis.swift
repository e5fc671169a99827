import CrossServerRESP
import NIOCore
import NIOPosix
import Synchronization

/// Answers commands as a test wants it to.
final class ScriptedRedis: Sendable {
    /// Nil: no answer. An empty one closes the connection.
    typealias Script = @Sendable (_ command: [String]) -> String?

    private let script: Mutex<Script>
    private let accepted = Mutex(0)
    private let muted = Mutex(0)
    private let channel: any Channel

    private init(_ script: @escaping Script, channel: any Channel, handler: Box) {
        self.script = Mutex(script)
        self.channel = channel
        handler.server.withLock { $0 = self }
    }

    private final class Box: Sendable {
        let server = Mutex<ScriptedRedis?>(nil)
    }

    static func start(_ script: @escaping Script) async throws -> ScriptedRedis {
        let box = Box()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler { box.server.withLock { $0 } })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return ScriptedRedis(script, channel: channel, handler: box)
    }

    var url: String { "redis://127.0.0.1:\(self.channel.localAddress?.port ?? 0)" }
    var connections: Int { self.accepted.withLock { $0 } }

    func change(_ script: @escaping Script) {
        self.script.withLock { $0 = script }
    }

    /// The connections that are there get no answer any more, and stay open.
    func mute() {
        let count = self.connections
        self.muted.withLock { $0 = count }
    }

    func stop() async throws {
        try await self.channel.close()
    }

    private func answer(_ command: [String]) -> String? {
        // Not under the lock: a script may block.
        let script = self.script.withLock { $0 }
        return script(command)
    }

    /// What a server that is in order would say to the commands of a bus.
    static let good: Script = { command in
        switch command.first {
        case "PING": "+PONG\r\n"
        case "PUBLISH": ":7\r\n"
        case "SUBSCRIBE", "UNSUBSCRIBE":
            command.dropFirst().map {
                "*3\r\n$\(command[0].utf8.count)\r\n\(command[0].lowercased())\r\n$\($0.utf8.count)\r\n\($0)\r\n:1\r\n"
            }.joined()
        default: "+OK\r\n"
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let server: () -> ScriptedRedis?
        private var parser = RESPCommandParser()
        private var bytes = ByteBuffer()
        private var number = 0

        init(_ server: @escaping () -> ScriptedRedis?) {
            self.server = server
        }

        func channelActive(context: ChannelHandlerContext) {
            self.number =
                self.server()?.accepted.withLock { accepted in
                    accepted += 1
                    return accepted
                } ?? 0
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var new = self.unwrapInboundIn(data)
            self.bytes.writeBuffer(&new)
            do {
                while let command = try self.parser.next(from: &self.bytes) {
                    guard let server = self.server(), server.muted.withLock({ $0 }) < self.number,
                        let answer = server.answer(command.map { String(buffer: $0) })
                    else { continue }
                    if answer.isEmpty { return context.close(promise: nil) }
                    context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
                }
            } catch {
                context.close(promise: nil)
            }
        }
    }
}
