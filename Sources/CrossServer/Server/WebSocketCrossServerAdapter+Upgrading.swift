public import CrossServerWebSocket
import CrossServerWire
import HTTPTypes
import Logging
public import NIOCore
import NIOSSL

// Connections of the server's own port
extension WebSocketCrossServerAdapter {
    /// Prepares an accepted connection for its handshake.
    ///
    /// - Parameter isOwn: whether no handlers of others are in the channel.
    func initialize(_ channel: any Channel, tls: NIOSSLContext?, isOwn: Bool) throws {
        let loop = self.loops.context(for: channel.eventLoop)
        if self.clientSockets.memoryRelief.budget.isExceeded {
            return try self.refuse(channel, with: .serviceUnavailable, tls: tls)
        }
        let admission: ConnectionTable.Admission
        switch self.connections.admit(channel.remoteAddress) {
        case .admitted(let granted): admission = granted
        case .refused(let refusal): return try self.refuse(channel, with: UpgradeRejection(refusal), tls: tls)
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
        self.countRefusal(rejection)
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

    /// - Parameter rejection: for want of a place.
    func countRefusal(_ rejection: UpgradeRejection) {
        self.refusals.count(rejection.status == UpgradeRejection.tooManyRequests.status ? .address : .limit)
        self.clientSockets.throttles.connectionLimit.log(
            self.logger,
            level: .warning,
            "connection refused: limit reached",
            metadata: ["status": "\(rejection.status)"]
        )
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
        self.clientSockets.throttles.handshake.log(
            self.logger,
            level: .info,
            "handshake failed",
            metadata: ["error": "\(LogText(error))"]
        )
    }

    func makeHandler(
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
        let connection = ClientConnection(socket: socket, shared: self.clientSockets, owner: self)
        let limits = self.configuration.limits
        var configuration = WebSocketConfiguration()
        configuration.maximumMessageSize = limits.maximumMessageSize
        configuration.maximumFragments = limits.maximumFragments
        configuration.closeTimeout = TimeAmount(limits.closeTimeout)
        configuration.outbound = limits.outbound
        configuration.memory = self.clientSockets.memoryRelief.budget
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
    /// Checks a request for an upgrade, its origin included, and asks the application's ``Configuration/authorize``.
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
        if let rejection = self.originRejection(of: request) { return .reject(rejection) }
        guard let authorize = self.configuration.authorize else { return .accept(acceptance) }
        let promise = channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        let executor = self.loops.context(for: channel.eventLoop).executor
        // Nobody here can wait for it; it keeps its promise, and the end of the connection cancels it.
        let task = Task(executorPreference: executor) {
            do {
                try await authorize(request)
                promise.succeed(self.isStopping ? .failure(.serviceUnavailable) : .success(acceptance))
            } catch let rejection as UpgradeRejection {
                promise.succeed(.failure(rejection))
            } catch {
                self.clientSockets.throttles.handshake.log(
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

    /// What a page is told that may not connect, or nil.
    private func originRejection(of request: UpgradeRequest) -> UpgradeRejection? {
        guard let refused = self.configuration.allowedOrigins.refusedOrigin(of: request) else { return nil }
        self.refusals.count(.origin)
        self.clientSockets.throttles.origin.log(
            self.logger,
            level: .notice,
            "connection refused: its origin is not allowed",
            metadata: [
                "origin": "\(refused)", "host": "\(LogText(request.headers[.hostField] ?? ""))",
                "advice": "Configuration.allowedOrigins",
            ]
        )
        return .originNotAllowed(refused, host: request.headers[.hostField] ?? "")
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
