import CrossServerWebSocket
import CrossServerWire
import Logging
public import NIOCore
import NIOPosix
import NIOSSL
public import ServiceLifecycle
import Synchronization

extension WebSocketCrossServerAdapter: Service {
    /// Where a server is in its life.
    struct Lifecycle: Sendable {
        enum Phase: Sendable { case created, running, stopping, stopped }

        var phase = Phase.created
        var address: SocketAddress?
        /// The server that hands over connections stops: see ``WebSocketCrossServerAdapter/quiesce()``.
        var isQuiescing = false
    }

    var isStopping: Bool {
        self.lifecycle.withLock { $0.isQuiescing || $0.phase == .stopping || $0.phase == .stopped }
    }

    /// Where the server listens, with the port that the kernel chose; nil before and after.
    public var listeningAddress: SocketAddress? {
        self.lifecycle.withLock { $0.address }
    }

    /// Serves until the task is cancelled or a graceful shutdown begins, then stops: it accepts no more, closes its
    /// clients with 1001 at the pace of ``Shutdown/clientsPerSecond``, waits for their handlers, and cuts at
    /// ``Shutdown/deadline`` what is left. A cancelled task does not wait. At the end the listeners are let go.
    ///
    /// The bus is connected from the beginning to the end.
    ///
    /// - Throws: ``CrossServerError`` with `cannotListen`, `invalidConfiguration`, `nameTaken` or `alreadyRun`;
    ///   ``BusError`` when the bus's own configuration is invalid.
    public func run() async throws {
        try self.configuration.validate()
        guard self.cluster.bus == nil || !self.serverName.isEmpty else {
            throw CrossServerError(.invalidConfiguration, "a server with a bus needs a serverName")
        }
        try self.begin()
        let watch = self.watchReadiness()
        let metrics = self.startMetrics()
        defer {
            watch.cancel()
            metrics?.cancel()
            self.readinessReports.finish()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            if self.cluster.bus != nil { group.addTask { try await self.cluster.run() } }
            group.addTask { try await self.serve() }
            // Serving ends by itself; the bus only with an error, which ends serving, or when it is not needed any more.
            do {
                try await group.next()
                group.cancelAll()
                try await group.waitForAll()
            } catch {
                group.cancelAll()
                while await group.nextResult() != nil {}
                throw error
            }
        }
    }

    private func serve() async throws {
        let channel: (any Channel)?
        do {
            channel = try await self.listen()
        } catch {
            self.lifecycle.withLock { $0.phase = .stopped }
            await self.raise(\.serverError, error, name: "server-error")
            throw error
        }
        if let address = channel?.localAddress {
            self.lifecycle.withLock { $0.address = address }
            self.logger.info("listening", metadata: ["address": "\(address)"])
            await self.raise(\.listening, address, name: "listening")
        }
        // Cancellation ends the wait with an error that says no more than `isCancelled` below.
        try? await gracefulShutdown()
        await self.stop(channel, isHurried: Task.isCancelled)
    }

    private func begin() throws(CrossServerError) {
        let isFirst = self.lifecycle.withLock { lifecycle in
            guard lifecycle.phase == .created else { return false }
            lifecycle.phase = .running
            return true
        }
        guard isFirst else { throw CrossServerError(.alreadyRun, "an adapter runs once; make a new one") }
    }

    private func listen() async throws(CrossServerError) -> (any Channel)? {
        guard let listenAddress = self.listenAddress else { return nil }
        do {
            let tls = try self.configuration.tls.map { try NIOSSLContext(configuration: $0) }
            let bootstrap = self.bootstrap(tls: tls)
            switch listenAddress.kind {
            case .host(let host, let port):
                return
                    try await bootstrap
                    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .bind(host: host, port: port).get()
            case .unixDomainSocket(let path):
                return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            }
        } catch {
            throw CrossServerError(.cannotListen, "cannot listen at \(listenAddress): \(error)")
        }
    }

    /// An idle connection keeps its receive buffer: a small one to begin with, larger for those who send much.
    static let receiveAllocator = AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 65_536)
    /// What the kernel does not take is kept by the handler, where it is bounded and can be dropped.
    static let writeWaterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 16_384, high: 65_536)

    private func bootstrap(tls: NIOSSLContext?) -> ServerBootstrap {
        ServerBootstrap(group: self.eventLoopGroup)
            .serverChannelOption(.backlog, value: self.configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .childChannelOption(.recvAllocator, value: Self.receiveAllocator)
            .childChannelOption(.writeBufferWaterMark, value: Self.writeWaterMark)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.initialize(channel, tls: tls, isOwn: true) }
            }
    }

    private func stop(_ channel: (any Channel)?, isHurried: Bool) async {
        self.lifecycle.withLock { lifecycle in
            lifecycle.phase = .stopping
            lifecycle.address = nil
        }
        self.cluster.eventLoop.execute { self.reportReadiness() }
        self.logger.info("stopping", metadata: ["clients": "\(self.connections.count)"])
        do {
            try await channel?.close().get()
        } catch {
            self.logger.debug("the listening socket was closed already", metadata: ["error": "\(LogText(error))"])
        }
        await self.closeClients(within: isHurried ? .zero : self.configuration.shutdown.deadline)
        await self.cluster.stop(within: isHurried ? .zero : self.configuration.shutdown.deadline)
        await self.raise(\.serverClose, (), name: "ws-server-close")
        // Listeners usually hold the adapter, which would keep both for ever.
        self.changeListeners { $0 = Listeners() }
        self.lifecycle.withLock { $0.phase = .stopped }
        await self.reportEnd()
        self.logger.info("stopped")
    }

    /// Closes the clients when the server that hands over connections waits for their end, which can be before
    /// ``run()`` is told to stop. Idempotent.
    func quiesce() {
        let isFirst = self.lifecycle.withLock { lifecycle in
            guard !lifecycle.isQuiescing, lifecycle.phase == .created || lifecycle.phase == .running else {
                return false
            }
            lifecycle.isQuiescing = true
            return true
        }
        guard isFirst else { return }
        self.logger.info("closing clients", metadata: ["clients": "\(self.connections.count)"])
        self.beginClosingClients()
        for loop in self.loops.all {
            loop.eventLoop.scheduleTask(in: TimeAmount(self.configuration.shutdown.deadline)) { [weak loop] in
                loop?.connections.cutAll()
            }
        }
    }

    /// Cuts every client without a close frame and takes no new ones, as when the process dies.
    package func cutClients() {
        self.lifecycle.withLock { $0.isQuiescing = true }
        for loop in self.loops.all {
            loop.post { loop.connections.cutAll() }
        }
    }

    private func beginClosingClients() {
        let loops = self.loops.all
        let pace = max(self.configuration.shutdown.clientsPerSecond / max(loops.count, 1), 1)
        for loop in loops {
            loop.post { loop.connections.closeAll(perSecond: pace) }
        }
    }

    private func closeClients(within deadline: Duration) async {
        self.beginClosingClients()
        if await self.drained(within: deadline) { return }
        self.logger.warning("cutting what is left", metadata: ["clients": "\(self.connections.count)"])
        for loop in self.loops.all {
            loop.post { loop.connections.cutAll() }
        }
        // Handlers that do not heed their cancellation are left behind.
        _ = await self.drained(within: .seconds(1))
    }

    /// - Returns: whether all connections have gone in time.
    private func drained(within deadline: Duration) async -> Bool {
        // Detached, so that the deadline holds in a cancelled task too; and on no event loop, since one may be blocked.
        let timer = Task.detached {
            // Cancelled when all connections have gone: then nobody waits any more.
            try? await Task.sleep(for: deadline)
            self.connections.stopWaiting()
        }
        await self.connections.drained()
        timer.cancel()
        await timer.value
        return self.connections.count == 0
    }

    private func raise<Arguments: Sendable>(
        _ event: KeyPath<SystemListeners, ListenerList<Arguments>>,
        _ arguments: Arguments,
        name: String
    ) async {
        let list = self.listeners { $0.system[keyPath: event] }
        for listener in list.listeners where self.claim(listener) {
            do {
                switch listener.body {
                case .plain(let body): try body(arguments)
                case .asynchronous(let body): try await body(arguments)
                }
            } catch {
                self.logger.error("handler failed", metadata: ["event": "\(name)", "error": "\(LogText(error))"])
            }
        }
    }
}

extension ListenAddress: CustomStringConvertible {
    public var description: String {
        switch self.kind {
        case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unixDomainSocket(let path): path
        }
    }
}
