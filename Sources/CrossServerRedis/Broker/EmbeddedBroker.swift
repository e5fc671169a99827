import CrossServerBus
import CrossServerWire
public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle
import Synchronization

/// A publish/subscribe server that speaks the Redis protocol, RESP2 and RESP3, inside the process: for development, for
/// tests, and for several processes on one machine. Nothing has to be installed.
///
/// It is not for production: use Redis or Valkey there. The broker stores no keys, has no replication and no cluster,
/// and ends with its process.
///
/// ```swift
/// let broker = EmbeddedBroker(port: 6379)
/// try await broker.run()
/// ```
///
/// Redis' own clients can use it: it knows AUTH, CLIENT, COMMAND, CONFIG, ECHO, HELLO, INFO, PING, PSUBSCRIBE, PUBLISH,
/// PUBSUB, PUNSUBSCRIBE, QUIT, RESET, ROLE, SELECT, SUBSCRIBE and UNSUBSCRIBE. Messages of one publisher reach every
/// subscriber in their order. A subscriber that does not read is disconnected at ``Limits/maximumPendingBytes``.
///
/// All of it runs on one event loop, as Redis runs on one thread: so the order needs no care and the subscriptions need no
/// lock, and a publish to subscribers costs no hop between loops.
public final class EmbeddedBroker: Service, Sendable {
    private enum Phase {
        case created
        /// The address is nil until it listens.
        case running(SocketAddress?)
        case stopped
    }

    private let configuration: Configuration
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let phase = Mutex(Phase.created)

    /// - Parameters:
    ///   - eventLoopGroup: one of its event loops is used.
    ///   - logger: nothing is logged by default.
    public init(
        configuration: Configuration = Configuration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "crossserver.broker", factory: { _ in SwiftLogNoOpLogHandler() })
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoopGroup.next()
        self.logger = logger
    }

    /// Listens on `127.0.0.1`.
    ///
    /// - Parameter port: 0 for one that the system chooses.
    public convenience init(port: Int) {
        var configuration = Configuration()
        configuration.port = port
        self.init(configuration: configuration)
    }

    /// Where it listens, with the port that the system chose: the Unix domain socket when there is no port. Nil before
    /// and after.
    public var listeningAddress: SocketAddress? {
        self.phase.withLock { phase in
            guard case .running(let address) = phase else { return nil }
            return address
        }
    }

    /// Serves until the task is cancelled or a graceful shutdown begins; then closes all connections and returns.
    ///
    /// - Throws: ``BusError`` with `invalidConfiguration`, also when it cannot listen, or `alreadyRun`.
    public func run() async throws {
        try self.configuration.validate()
        try self.begin()
        let core = NIOLoopBoundBox.makeBoxSendingValue(self.makeCore(), eventLoop: self.eventLoop)
        var listeners: [any Channel] = []
        do throws(BusError) {
            try await self.listen(core, &listeners)
        } catch {
            self.phase.withLock { $0 = .stopped }
            await self.stop(core, listeners)
            throw error
        }
        let address = listeners.first?.localAddress
        self.phase.withLock { $0 = .running(address) }
        for listener in listeners {
            self.logger.info("broker listening", metadata: ["address": "\(listener.localAddress?.endpoint ?? "")"])
        }
        // Cancellation ends the wait with an error that says no more than that.
        try? await gracefulShutdown()
        self.phase.withLock { $0 = .stopped }
        await self.stop(core, listeners)
        self.logger.info("broker stopped")
    }

    private func begin() throws(BusError) {
        let isFirst = self.phase.withLock { phase in
            guard case .created = phase else { return false }
            phase = .running(nil)
            return true
        }
        guard isFirst else { throw BusError(.alreadyRun, "a broker runs once; make a new one") }
    }

    private func makeCore() -> sending BrokerCore {
        let core = BrokerCore(configuration: self.configuration, logger: self.logger)
        let eventLoop = self.eventLoop
        // Each client is flushed once per turn of the loop, with all that came for it from all publishers.
        core.onChange = { core in
            eventLoop.assumeIsolated().execute {
                for client in core.takeChanged() { client.connection?.write() }
            }
        }
        return core
    }

    private func listen(_ core: NIOLoopBoundBox<BrokerCore>, _ listeners: inout [any Channel]) async throws(BusError) {
        let bootstrap = ServerBootstrap(group: self.eventLoop, childGroup: self.eventLoop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            // What the kernel does not take waits in the client's queue, where it is bounded.
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 65_536, high: 131_072))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(BrokerHandler(core: core.value))
                }
            }
        if let port = self.configuration.port {
            do {
                let host = self.configuration.host
                let noDelay = bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                listeners.append(try await noDelay.bind(host: host, port: port).get())
            } catch {
                throw BusError(
                    .invalidConfiguration,
                    "cannot listen on \(endpoint(host: self.configuration.host, port: port)): \(error)"
                )
            }
        }
        if let path = self.configuration.unixDomainSocketPath {
            do {
                let bound = bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true)
                listeners.append(try await bound.get())
            } catch {
                throw BusError(.invalidConfiguration, "cannot listen on \(path): \(error)")
            }
        }
    }

    private func stop(_ core: NIOLoopBoundBox<BrokerCore>, _ listeners: [any Channel]) async {
        for listener in listeners {
            do {
                try await listener.close().get()
            } catch {
                self.logger.debug("the listening socket was closed already", metadata: ["error": "\(LogText(error))"])
            }
        }
        do {
            try await self.eventLoop.flatSubmit {
                let closed = core.value.clients.values.compactMap { $0.connection?.stop() }
                return EventLoopFuture.andAllComplete(closed, on: self.eventLoop)
            }.get()
        } catch {
            self.logger.debug("the event loop has ended", metadata: ["error": "\(LogText(error))"])
        }
    }
}
