import NIOCore
import NIOPosix
import NIOSSL

/// Makes connections that are ready to be used.
struct RedisDialer: Sendable {
    let eventLoop: any EventLoop
    let tls: NIOSSLContext?
    let keepAlive: Bool

    /// - Parameters:
    ///   - install: called on the event loop as soon as the server is ready, before anything else can come from it.
    ///     Adds the handler that uses the connection.
    /// - Throws: ``RedisFailure``. The connection is closed then.
    func dial<Connection: Sendable>(
        _ address: RedisAddress,
        saying handshake: RedisHandshake,
        within timeout: TimeAmount,
        install: @escaping @Sendable (any Channel, RedisHandshake.Facts) throws -> Connection
    ) async throws(RedisFailure) -> Connection {
        let promise = self.eventLoop.makePromise(of: Connection.self)
        self.eventLoop.execute {
            Attempt(promise: promise, install: install).start(self, address, handshake, within: timeout)
        }
        do {
            return try await withTaskCancellationHandler {
                try await promise.futureResult.get()
            } onCancel: {
                promise.fail(RedisFailure(.stopped, "the attempt was cancelled"))
            }
        } catch {
            throw error as? RedisFailure ?? RedisFailure(.unreachable, "no connection to \(address): \(error)")
        }
    }

    /// Closes whatever was opened unless the connection gets ready: the first to complete the promise decides.
    private final class Attempt<Connection: Sendable> {
        private let promise: EventLoopPromise<Connection>
        private let install: @Sendable (any Channel, RedisHandshake.Facts) throws -> Connection
        private var channels: [any Channel] = []
        private var isOver = false

        init(
            promise: EventLoopPromise<Connection>,
            install: @escaping @Sendable (any Channel, RedisHandshake.Facts) throws -> Connection
        ) {
            self.promise = promise
            self.install = install
        }

        func start(
            _ dialer: RedisDialer,
            _ address: RedisAddress,
            _ handshake: RedisHandshake,
            within timeout: TimeAmount
        ) {
            let eventLoop = dialer.eventLoop
            let timer = eventLoop.scheduleTask(in: timeout) { [promise = self.promise] in
                promise.fail(RedisFailure(.timedOut, "\(address) was not ready within \(timeout.seconds) s"))
            }
            self.promise.futureResult.assumeIsolated().whenComplete { result in
                timer.cancel()
                self.isOver = true
                if case .failure = result {
                    for channel in self.channels { channel.closeNow() }
                }
                self.channels = []
            }
            let box = NIOLoopBound(self, eventLoop: eventLoop)
            let bootstrap = ClientBootstrap(group: eventLoop)
                .connectTimeout(timeout)
                .channelInitializer { channel in box.value.opened(channel) }
            let connected: EventLoopFuture<any Channel>
            switch address {
            case .tcp(let host, let port):
                connected =
                    bootstrap
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .channelOption(.socketOption(.so_keepalive), value: dialer.keepAlive ? 1 : 0)
                    .connect(host: host, port: port)
            case .unixSocket(let path):
                connected = bootstrap.connect(unixDomainSocketPath: path)
            }
            connected.assumeIsolated().whenComplete { result in
                switch result {
                case .success(let channel): self.connected(channel, dialer.tls, address, handshake)
                case .failure(let error):
                    self.promise.fail(RedisFailure(.unreachable, "no connection to \(address): \(error)"))
                }
            }
        }

        /// A name with several addresses may open several channels.
        private func opened(_ channel: any Channel) -> EventLoopFuture<Void> {
            if self.isOver { return channel.eventLoop.makeFailedFuture(ChannelError.eof) }
            self.channels.append(channel)
            return channel.eventLoop.makeSucceededVoidFuture()
        }

        private func connected(
            _ channel: any Channel,
            _ tls: NIOSSLContext?,
            _ address: RedisAddress,
            _ handshake: RedisHandshake
        ) {
            guard !self.isOver else { return channel.close(promise: nil) }
            let pipeline = channel.pipeline.syncOperations
            let handler = HandshakeHandler(handshake) { result in
                guard !self.isOver else { return }
                switch result.flatMap({ facts in self.use(channel, facts) }) {
                case .success(let connection): self.promise.succeed(connection)
                case .failure(let failure): self.promise.fail(failure)
                }
            }
            do {
                if let tls {
                    try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: address.serverName))
                }
                try pipeline.addHandler(handler, name: Self.handlerName)
            } catch {
                self.promise.fail(RedisFailure(.unreachable, "no connection to \(address): \(error)"))
            }
        }

        private static var handlerName: String { "handshake" }

        private func use(_ channel: any Channel, _ facts: RedisHandshake.Facts) -> Result<Connection, RedisFailure> {
            channel.pipeline.syncOperations.removeHandler(name: Self.handlerName, promise: nil)
            do {
                return .success(try self.install(channel, facts))
            } catch {
                return .failure(RedisFailure(.unreachable, "the connection cannot be used: \(error)"))
            }
        }
    }
}

extension RedisAddress {
    /// The name for SNI and for the certificate. Nil for an address: the certificate must hold the address then.
    var serverName: String? {
        guard case .tcp(let host, _) = self, !host.contains(":") else { return nil }
        return (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil  // throws for a name
    }
}

extension TimeAmount {
    var seconds: Double { Double(self.nanoseconds) / 1e9 }
}
