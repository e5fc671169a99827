public import CrossServerWebSocket
import CrossServerWire
import HTTPTypes
import Logging
public import NIOCore
public import NIOHTTP1
import NIOSSL

// Connections of the server's own port
extension WebSocketCrossServerAdapter {
    /// Prepares an accepted connection for its handshake.
    ///
    /// - Parameter isOwn: whether no handlers of others are in the channel.
    func initialize(_ channel: any Channel, tls: NIOSSLContext?, isOwn: Bool) throws {
        let loop = self.loops.context(for: channel.eventLoop)
        let admission: ConnectionTable.Admission
        switch self.connections.admit(channel.remoteAddress) {
        case .admitted(let granted): admission = granted
        case .tooMany: return try self.refuse(channel, with: .serviceUnavailable, tls: tls)
        case .tooManyOfAddress: return try self.refuse(channel, with: .tooManyRequests, tls: tls)
        }
        loop.connections.beginHandshake(channel)
        let handler = ServerHandshakeHandler(
            maximumHeadSize: self.configuration.limits.maximumHandshakeSize,
            decide: { request, channel in self.decide(request, on: channel) },
            upgraded: { context, request, acceptance in
                loop.connections.endHandshake(context.channel)
                return self.makeHandler(
                    request: request,
                    acceptance: acceptance,
                    loop: loop,
                    admission: admission,
                    writesToSocket: isOwn && tls == nil
                )
            },
            failed: { error in
                loop.connections.endHandshake(channel)
                self.connections.release(admission)
                self.handshakeFailed(error)
            }
        )
        try self.add(handler, to: channel, tls: tls)
    }

    /// Answers whatever the client asks with a rejection. The connection is not counted, but ends within the
    /// handshake time.
    private func refuse(_ channel: any Channel, with rejection: UpgradeRejection, tls: NIOSSLContext?) throws {
        self.logThrottles.connectionLimit.log(
            self.logger,
            level: .warning,
            "connection refused: limit reached",
            metadata: ["status": "\(rejection.status)"]
        )
        let loop = self.loops.context(for: channel.eventLoop)
        loop.connections.beginHandshake(channel)
        let handler = ServerHandshakeHandler(
            maximumHeadSize: self.configuration.limits.maximumHandshakeSize,
            decide: { _, _ in .reject(rejection) },
            upgraded: { _, _, _ in preconditionFailure("a rejected handshake is never upgraded") },
            failed: { _ in loop.connections.endHandshake(channel) }
        )
        try self.add(handler, to: channel, tls: tls)
    }

    private func add(_ handler: ServerHandshakeHandler, to channel: any Channel, tls: NIOSSLContext?) throws {
        if let tls {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
        }
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private func handshakeFailed(_ error: any Error) {
        // A client that leaves, or is told why, is no event of the server.
        if error is UpgradeRejection || error is WebSocketHandshakeError || error is ChannelError { return }
        self.logThrottles.handshake.log(
            self.logger,
            level: .info,
            "handshake failed",
            metadata: ["error": "\(LogText(error))"]
        )
    }

    private func makeHandler(
        request: UpgradeRequest,
        acceptance: UpgradeAcceptance,
        loop: LoopContext,
        admission: ConnectionTable.Admission,
        writesToSocket: Bool
    ) -> WebSocketHandler {
        let socket = ClientSocket(
            request: request.withoutHandshakeFields(),
            subprotocol: acceptance.subprotocol,
            loop: loop,
            admission: admission
        )
        let connection = ClientConnection(socket: socket, adapter: self)
        let limits = self.configuration.limits
        var configuration = WebSocketConfiguration()
        configuration.maximumMessageSize = limits.maximumMessageSize
        configuration.maximumFragments = limits.maximumFragments
        configuration.closeTimeout = TimeAmount(limits.closeTimeout)
        configuration.outbound = limits.outbound
        let handler = WebSocketHandler(
            role: .server,
            configuration: configuration,
            deflate: acceptance.deflate,
            deflateConfiguration: self.configuration.compression ?? PerMessageDeflate(),
            flusher: loop.connections.flusher,
            writesToSocket: writesToSocket,
            delegate: connection
        )
        connection.start(with: handler)
        return handler
    }
}

// The decision about a handshake
extension WebSocketCrossServerAdapter {
    /// Checks a request for an upgrade and asks the application's ``Configuration/authorize``.
    ///
    /// To be called on the channel's event loop.
    public func decide(_ request: UpgradeRequest, on channel: any Channel) -> UpgradeDecision {
        guard !self.isStopping else { return .reject(.serviceUnavailable) }
        if let path = self.configuration.path, request.path != path { return .reject(.notFound) }
        let acceptance: UpgradeAcceptance
        do throws(UpgradeRejection) {
            let offered = request.subprotocols
            acceptance = try ServerHandshake.accept(
                request,
                subprotocol: offered.isEmpty ? nil : self.configuration.selectSubprotocol(offered),
                deflate: self.configuration.compression
            )
        } catch {
            return .reject(error)
        }
        guard let authorize = self.configuration.authorize else { return .accept(acceptance) }
        let promise = channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        let executor = self.loops.context(for: channel.eventLoop).executor
        let task = Task(executorPreference: executor) {
            do {
                try await authorize(request)
                promise.succeed(self.isStopping ? .failure(.serviceUnavailable) : .success(acceptance))
            } catch let rejection as UpgradeRejection {
                promise.succeed(.failure(rejection))
            } catch {
                self.logThrottles.handshake.log(
                    self.logger,
                    level: .error,
                    "authorization failed",
                    metadata: ["error": "\(LogText(error))"]
                )
                promise.succeed(.failure(.internalServerError))
            }
        }
        // A client that leaves meanwhile, or runs out of time, is not worth the rest of the work.
        channel.closeFuture.whenComplete { _ in task.cancel() }
        return .pending(promise.futureResult)
    }
}

// Connections of another server
extension WebSocketCrossServerAdapter {
    /// An upgrade of another server's connection: what ``decide(_:on:)`` agreed to.
    public struct Upgrade: Sendable {
        public var request: UpgradeRequest
        public var acceptance: UpgradeAcceptance

        public init(request: UpgradeRequest, acceptance: UpgradeAcceptance) {
            self.request = request
            self.acceptance = acceptance
        }
    }

    /// Takes over a connection that another server has upgraded: its `101` answer is written, and its HTTP handlers are
    /// gone from the pipeline.
    ///
    /// To be called on the channel's event loop.
    ///
    /// - Throws: ``CrossServerError`` with `stopping`, or `overloaded` when there are too many connections; the channel
    ///   is untouched then.
    public func attach(_ upgrade: Upgrade, to channel: any Channel) throws {
        channel.eventLoop.preconditionInEventLoop()
        guard !self.isStopping else { throw CrossServerError(.stopping, "the server takes no new connections") }
        guard case .admitted(let admission) = self.connections.admit(channel.remoteAddress) else {
            throw CrossServerError(.overloaded, "there are too many connections")
        }
        self.cluster.serveClients()
        let loop = self.loops.context(for: channel.eventLoop)
        let handler = self.makeHandler(
            request: upgrade.request,
            acceptance: upgrade.acceptance,
            loop: loop,
            admission: admission,
            writesToSocket: false
        )
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Clients will be handed over: messages of other servers for them are heard from now on. Idempotent.
    package func expectClients() {
        self.cluster.serveClients()
    }

    /// Takes over a connection of another server that has not answered anything yet, from its first byte on.
    ///
    /// To be called on the channel's event loop.
    package func takeOver(_ channel: any Channel) throws {
        self.expectClients()
        if let options = channel.syncOptions {
            try options.setOption(.recvAllocator, value: Self.receiveAllocator)
            try options.setOption(.writeBufferWaterMark, value: Self.writeWaterMark)
            try options.setOption(.allowRemoteHalfClosure, value: false)
            if channel.remoteAddress?.port != nil { try options.setOption(.tcpOption(.tcp_nodelay), value: 1) }
        }
        try self.initialize(channel, tls: nil, isOwn: false)
    }

    /// Upgrades connections of a swift-nio HTTP server, so that both share a port.
    ///
    /// ```swift
    /// channel.pipeline.configureHTTPServerPipeline(
    ///     withServerUpgrade: (upgraders: [adapter.httpUpgrader()], completionHandler: { _ in })
    /// )
    /// ```
    ///
    /// A request that is refused reaches the HTTP server's own handlers.
    public func httpUpgrader() -> some HTTPServerProtocolUpgrader & Sendable {
        self.cluster.serveClients()
        return AdapterUpgrader(adapter: self)
    }
}

private struct AdapterUpgrader: HTTPServerProtocolUpgrader, Sendable {
    let adapter: WebSocketCrossServerAdapter

    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []

    func buildUpgradeResponse(
        channel: any Channel,
        upgradeRequest: HTTPRequestHead,
        initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        self.acceptance(of: self.request(upgradeRequest, on: channel), on: channel).map { acceptance in
            var headers = initialResponseHeaders
            for field in acceptance.headers {
                headers.replaceOrAdd(name: field.name.rawName, value: field.value)
            }
            return headers
        }
    }

    func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        let channel = context.channel
        let request = self.request(upgradeRequest, on: channel)
        // The application has been asked when the response was built: here only what was negotiated is needed again.
        return channel.eventLoop.makeCompletedFuture {
            let acceptance = try ServerHandshake.accept(
                request,
                subprotocol: request.subprotocols.isEmpty
                    ? nil : self.adapter.configuration.selectSubprotocol(request.subprotocols),
                deflate: self.adapter.configuration.compression
            )
            try self.adapter.attach(.init(request: request, acceptance: acceptance), to: channel)
        }
    }

    private func request(_ head: HTTPRequestHead, on channel: any Channel) -> UpgradeRequest {
        var fields = HTTPFields()
        for (name, value) in head.headers {
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        return UpgradeRequest(
            method: head.method.rawValue,
            target: head.uri,
            headers: fields,
            remoteAddress: channel.remoteAddress
        )
    }

    private func acceptance(
        of request: UpgradeRequest,
        on channel: any Channel
    ) -> EventLoopFuture<UpgradeAcceptance> {
        switch self.adapter.decide(request, on: channel) {
        case .accept(let acceptance): channel.eventLoop.makeSucceededFuture(acceptance)
        case .reject(let rejection): channel.eventLoop.makeFailedFuture(rejection)
        case .pending(let decision): decision.flatMapThrowing { try $0.get() }
        }
    }
}

extension UpgradeRequest {
    private static let handshakeFields: Set<HTTPField.Name> = [
        .connection, .upgrade, .secWebSocketKey, .secWebSocketVersion, .secWebSocketExtensions,
    ]

    /// What has done its duty in the handshake is not kept for as long as the connection lasts.
    fileprivate func withoutHandshakeFields() -> UpgradeRequest {
        var request = self
        request.headers = self.headers.filter { !Self.handshakeFields.contains($0.name) }
        return request
    }
}
