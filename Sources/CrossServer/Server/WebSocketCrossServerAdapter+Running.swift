import CrossServerTLS
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

    /// Whether the server takes nothing new.
    var isStopping: Bool {
        self.lifecycle.withLock { $0.isQuiescing || $0.phase == .stopping || $0.phase == .stopped }
    }

    /// Where the server listens, with the port that the kernel chose; nil before and after.
    public var listeningAddress: SocketAddress? {
        self.lifecycle.withLock { $0.address }
    }

    /// Serves until the task is cancelled or a graceful shutdown begins, then stops: it accepts no more, closes its
    /// clients with 1001 at the pace of ``Shutdown/clientsPerSecond``, waits for their handlers, and cuts at
    /// ``Shutdown/deadline`` what is left. A cancelled task waits for no handler, and for the bus no more than a second.
    ///
    /// Whatever ends it, an error included, the end is the same: the other servers hear that this one has left, sequences
    /// of reports finish, and the listeners are let go.
    ///
    /// The bus is connected, and asked for anything, from the beginning to the end.
    ///
    /// - Throws: ``CrossServerError`` with `cannotListen`, `invalidConfiguration`, `nameTaken` or `alreadyRun`;
    ///   ``BusError`` when the bus's own configuration is invalid.
    public func run() async throws {
        try self.begin()
        let failure = await self.serve()
        await self.end()
        if let failure { throw failure }
    }

    /// - Returns: why it ended, when nobody has asked for that.
    private func serve() async -> (any Error)? {
        do {
            try self.validate()
        } catch {
            return error
        }
        self.checkFileLimit()
        self.cluster.begin()
        let watch = self.watchReadiness()
        let metrics = self.startMetrics()
        // No child of this task: it carries the goodbye also when this one is cancelled.
        let bus = Task { await self.cluster.run() }
        var channel: (any Channel)?
        var failure: (any Error)?
        do throws(CrossServerError) {
            channel = try await self.listen()
            await self.tellAddress(of: channel)
            failure = await self.waitForEnd()
        } catch {
            failure = error
            await self.raise(\.serverError, error, name: "server-error")
        }
        await self.stop(channel, isHurried: Task.isCancelled || failure != nil)
        bus.cancel()
        await bus.value
        watch.cancel()
        metrics?.cancel()
        return failure
    }

    private func tellAddress(of channel: (any Channel)?) async {
        guard let address = channel?.localAddress else { return }
        self.lifecycle.withLock { $0.address = address }
        self.logger.info("listening", metadata: ["address": "\(address.endpoint)"])
        await self.raise(\.listening, address, name: "listening")
    }

    /// Waits for the cancellation of the task, a graceful shutdown, or what ends the talk with the other servers.
    ///
    /// - Returns: the last of these.
    private func waitForEnd() async -> (any Error)? {
        await withTaskGroup(of: (any Error)?.self) { group in
            group.addTask {
                // Throws when the task is cancelled, which is an end as well.
                try? await gracefulShutdown()
                return nil
            }
            if self.transport.bus != nil {
                group.addTask { await self.cluster.servers.failures.stream.first { _ in true } }
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// The last that happens, whatever has ended the run.
    private func end() async {
        // Listeners usually hold the adapter, which would keep both for ever.
        self.clientSockets.changeListeners { $0 = Listeners() }
        self.cluster.end()
        self.lifecycle.withLock { lifecycle in
            lifecycle.phase = .stopped
            lifecycle.address = nil
        }
        await self.reportEnd()
        self.readinessReports.finish()
        self.logger.info("stopped")
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
            let tls = try self.configuration.tls.map { try NIOSSLContext(configuration: $0.modern) }
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
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pause = AcceptPause { [weak self] error in self?.acceptFailed(error) }
                    try channel.pipeline.syncOperations.addHandler(pause)
                }
            }
            .childChannelOption(.recvAllocator, value: Self.receiveAllocator)
            .childChannelOption(.writeBufferWaterMark, value: Self.writeWaterMark)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // Those who send much take turns with the others of their event loop.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.initialize(channel, tls: tls, isOwn: true) }
            }
    }

    private func stop(_ channel: (any Channel)?, isHurried: Bool) async {
        self.lifecycle.withLock { lifecycle in
            lifecycle.phase = .stopping
            lifecycle.address = nil
        }
        self.transport.eventLoop.execute { self.reportReadiness() }
        self.logger.info("stopping", metadata: ["clients": "\(self.connections.count)"])
        do {
            try await channel?.close().get()
        } catch {
            self.logger.debug("the listening socket was closed already", metadata: ["error": "\(LogText(error))"])
        }
        let deadline = isHurried ? .zero : self.configuration.shutdown.deadline
        await self.closeClients(within: deadline)
        // What is said last must go out also when this task is cancelled already. It takes a second at most then.
        let farewell = Task { await self.cluster.stop(within: deadline) }
        await withTaskCancellationHandler {
            await farewell.value
        } onCancel: {
            if !isHurried { farewell.cancel() }
        }
        if channel != nil || self.listenAddress == nil {
            await self.raise(\.serverClose, (), name: "ws-server-close")
        }
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
        if await self.connections.drained(within: deadline) { return }
        self.logger.warning("cutting what is left", metadata: ["clients": "\(self.connections.count)"])
        for loop in self.loops.all {
            loop.post { loop.connections.cutAll() }
        }
        // Handlers that do not heed their cancellation are left behind.
        _ = await self.connections.drained(within: .seconds(1))
    }

    private func raise<Arguments: Sendable>(
        _ event: KeyPath<SystemListeners, ListenerList<Arguments>>,
        _ arguments: Arguments,
        name: String
    ) async {
        let list = self.clientSockets.listeners { $0.system[keyPath: event] }
        for listener in list.listeners where self.clientSockets.claim(listener) {
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
        case .host(let host, let port): endpoint(host: host, port: port)
        case .unixDomainSocket(let path): path
        }
    }
}
