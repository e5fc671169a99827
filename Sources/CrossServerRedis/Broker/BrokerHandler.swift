import CrossServerRESP
import CrossServerWire
import Logging
import NIOCore

/// A connection of the broker: reads commands, and writes what waits for its client.
final class BrokerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let core: BrokerCore
    private var client: BrokerClient?
    private var context: ChannelHandlerContext?
    private var parser = RESPCommandParser()
    private var parsesAuthenticated = false
    /// What is not parsed yet.
    private var input = ByteBuffer()
    private var authenticationTimer: Scheduled<Void>?
    private var lingeringTimer: Scheduled<Void>?
    private var isWriting = false
    private var isEnding = false

    /// How long a client may take to read what was written before its connection was closed.
    private static let lingering = TimeAmount.seconds(5)

    init(core: BrokerCore) {
        self.core = core
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.connect(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.connect(context)
    }

    private func connect(_ context: ChannelHandlerContext) {
        guard self.client == nil else { return }
        let client = self.core.connect(
            address: context.remoteAddress.brokerText,
            localAddress: context.localAddress.brokerText,
            isLocal: context.remoteAddress?.isOfThisMachine ?? true
        )
        client.connection = self
        self.client = client
        self.parsesAuthenticated = !client.isAuthenticated
        self.followAuthentication(client)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.authenticationTimer?.cancel()
        self.lingeringTimer?.cancel()
        if let client = self.client { self.core.disconnect(client) }
        self.client = nil
        self.context = nil
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let client = self.client, client.closing == .no else { return }
        if self.input.readableBytes == 0 {
            self.input = self.unwrapInboundIn(data)
        } else {
            self.input.writeImmutableBuffer(self.unwrapInboundIn(data))
        }
        var isAnyRead = false
        do throws(RESPError) {
            while client.closing == .no, let arguments = try self.parser.next(from: &self.input) {
                isAnyRead = true
                self.core.execute(arguments, for: client)
                self.followAuthentication(client)
            }
        } catch {
            self.core.refuse(client, error)
        }
        if client.closing != .no || self.input.readableBytes == 0 {
            self.input = ByteBuffer()
        } else if isAnyRead {
            // The rest is short, and would keep all that was read.
            self.input = ByteBuffer(bytes: self.input.readableBytesView)
        }
        self.core.holdsInput(self.input.readableBytes == 0 ? 0 : self.input.storageCapacity, client)
    }

    /// Before the channel looks whether the client has gone: one that sends and leaves gets its replies.
    func channelReadComplete(context: ChannelHandlerContext) {
        self.write()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.write()
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.core.logger.debug("connection failed", metadata: ["error": "\(LogText(error))"])
        context.close(promise: nil)
    }

    /// Clients are held short until they have authenticated.
    private func followAuthentication(_ client: BrokerClient) {
        guard client.isAuthenticated != self.parsesAuthenticated else { return }
        self.parsesAuthenticated = client.isAuthenticated
        self.parser.limits = self.core.parserLimits(for: client)
        self.authenticationTimer?.cancel()
        self.authenticationTimer = nil
        guard !client.isAuthenticated, let context = self.context else { return }
        let timeout = TimeAmount(self.core.limits.authenticationTimeout)
        self.authenticationTimer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
            self.core.logger.debug("client did not authenticate in time", metadata: ["client": "\(client.id)"])
            self.core.close(client, .atOnce)
        }
    }

    /// Writes what the channel takes now, and closes when the client is to be closed.
    func write() {
        guard let client = self.client, let context = self.context, !self.isWriting, !self.isEnding else { return }
        if client.closing == .atOnce {
            self.isEnding = true
            self.input = ByteBuffer()
            return context.close(promise: nil)
        }
        self.isWriting = true
        // Flushing can make the channel writable at once.
        while context.channel.isWritable, !client.output.isEmpty {
            while context.channel.isWritable, let buffer = client.output.popFirst() {
                context.write(self.wrapOutboundOut(buffer), promise: nil)
            }
            context.flush()
        }
        client.output.reclaim()
        self.isWriting = false
        if client.closing == .afterReplies { self.end(client, context) }
    }

    /// Writes what the kernel takes, and closes.
    ///
    /// - Returns: when the connection is closed.
    func stop() -> EventLoopFuture<Void>? {
        guard let context = self.context else { return nil }
        self.write()
        context.close(promise: nil)
        return context.channel.closeFuture
    }

    /// Closes when all is written, or when the client has had its time.
    private func end(_ client: BrokerClient, _ context: ChannelHandlerContext) {
        let channel = context.channel
        if self.lingeringTimer == nil {
            self.lingeringTimer = channel.eventLoop.scheduleTask(in: Self.lingering) { channel.close(promise: nil) }
        }
        guard client.output.isEmpty else { return }
        self.isEnding = true
        channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
    }
}

@available(*, unavailable)
extension BrokerHandler: Sendable {}

extension SocketAddress? {
    /// As in lists of clients.
    fileprivate var brokerText: String {
        switch self {
        case .v4, .v6:
            guard let address = self?.ipAddress, let port = self?.port else { return "" }
            return endpoint(host: address, port: port)
        case .unixDomainSocket, nil: return "unix:0"
        }
    }
}

extension SocketAddress {
    /// Whether only programs of the same machine can have it.
    var isOfThisMachine: Bool {
        switch self {
        case .unixDomainSocket: true
        case .v4: self.ipAddress?.hasPrefix("127.") ?? false
        case .v6: ["::1", "::ffff:127.0.0.1"].contains(self.ipAddress)
        }
    }
}
