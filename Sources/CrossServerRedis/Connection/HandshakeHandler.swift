import CrossServerRESP
import NIOCore

/// Says a ``RedisHandshake`` on a new connection and then makes way for the handler that uses it.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var handshake: RedisHandshake
    private var input = RESPInput(limits: HandshakeHandler.limits)
    /// Called once, on the event loop. With success the connection can be used, and no byte of it was read too far.
    private var completion: ((Result<RedisHandshake.Facts, RedisFailure>) -> Void)?
    private var error: (any Error)?
    /// A handler that is added while the channel becomes active is told of that, too.
    private var hasBegun = false

    /// A server's answers before it is trusted.
    private static var limits: RESPLimits {
        var limits = RESPLimits()
        limits.maximumLength = 4 << 20
        limits.maximumBulkLength = 2 << 20
        limits.maximumElements = 10_000
        return limits
    }

    init(_ handshake: RedisHandshake, completion: @escaping (Result<RedisHandshake.Facts, RedisFailure>) -> Void) {
        self.handshake = handshake
        self.completion = completion
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { self.begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard !self.hasBegun else { return }
        self.hasBegun = true
        var bytes = context.channel.allocator.buffer(capacity: 256)
        for step in self.handshake.steps { bytes.writeRESPCommand(step.command) }
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input.append(self.unwrapInboundIn(data))
        do throws(RedisFailure) {
            while self.completion != nil, let reply = try self.input.next() {
                switch self.handshake.received(reply) {
                case .waiting: continue
                case .ready(let facts):
                    // The next handler would not see them, and nothing was asked to which they could be the answer.
                    guard self.input.isEmpty else {
                        throw RedisFailure(.protocolViolation, "the server sent more than it was asked for")
                    }
                    self.finish(.success(facts))
                case .failed(let failure): self.finish(.failure(failure))
                }
            }
        } catch {
            self.finish(.failure(error))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.error == nil { self.error = error }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let reason = self.error.map { "failed: \($0)" } ?? "was closed before it was ready"
        self.finish(.failure(RedisFailure(.unreachable, "the connection \(reason)")))
        context.fireChannelInactive()
    }

    private func finish(_ result: Result<RedisHandshake.Facts, RedisFailure>) {
        guard let completion = self.completion else { return }
        self.completion = nil
        completion(result)
    }
}
