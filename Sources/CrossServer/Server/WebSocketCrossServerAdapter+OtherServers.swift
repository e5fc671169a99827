public import CrossServerWebSocket
import CrossServerWire
import HTTPTypes
public import NIOCore
public import NIOHTTP1

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
        guard !self.clientSockets.memoryRelief.budget.isExceeded else {
            throw CrossServerError(.overloaded, "the connections hold as much memory as they may")
        }
        guard case .admitted(let admission) = self.connections.admit(channel.remoteAddress) else {
            throw CrossServerError(.overloaded, "there are too many connections")
        }
        do {
            // What the client has asked is answered, whoever made the channel.
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        } catch {
            self.connections.release(admission)
            throw error
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
            try options.setOption(.allowRemoteHalfClosure, value: true)
            try options.setOption(.maxMessagesPerRead, value: 1)
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
    /// A request for another path than ``Configuration/path`` reaches the HTTP server's own handlers. What is refused, for
    /// example by ``Configuration/authorize``, is answered as on the server's own port, with the status, headers and body
    /// of the ``UpgradeRejection``, and the connection closed.
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
        let request = self.request(upgradeRequest, on: channel)
        if let path = self.adapter.configuration.path, request.path != path {
            return channel.eventLoop.makeFailedFuture(UpgradeRejection.notFound)
        }
        return self.acceptance(of: request, on: channel).map { acceptance in
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
            do {
                try self.adapter.attach(.init(request: request, acceptance: acceptance), to: channel)
            } catch {
                self.close(channel)
                throw error
            }
        }
    }

    /// There is no room any more for a client that has its answer already: it gets a Close frame (RFC 6455, 5.5.1).
    private func close(_ channel: any Channel) {
        let code = self.adapter.isStopping ? CloseCode.goingAway : .tryAgainLater
        var frame = ByteBuffer(bytes: [0x88, 0x02])
        frame.writeInteger(code.rawValue)
        channel.writeAndFlush(frame, promise: nil)
        channel.close(promise: nil)
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
        let hasMemory = !self.adapter.clientSockets.memoryRelief.budget.isExceeded
        let refusal = hasMemory ? self.adapter.connections.mayAdmit(channel.remoteAddress) : .tooMany
        if let refusal {
            let rejection = UpgradeRejection(refusal)
            self.adapter.countRefusal(rejection)
            return self.refuse(request, with: rejection, on: channel)
        }
        switch self.adapter.decide(request, on: channel) {
        case .accept(let acceptance): return channel.eventLoop.makeSucceededFuture(acceptance)
        case .reject(let rejection): return self.refuse(request, with: rejection, on: channel)
        case .pending(let decision):
            return decision.hop(to: channel.eventLoop).flatMap { result in
                switch result {
                case .success(let acceptance): channel.eventLoop.makeSucceededFuture(acceptance)
                case .failure(let rejection): self.refuse(request, with: rejection, on: channel)
                }
            }
        }
    }

    /// Answers before the handlers of HTTP, which know no way to refuse an upgrade with more than a status.
    ///
    /// - Returns: what ends with the connection.
    private func refuse(
        _ request: UpgradeRequest,
        with rejection: UpgradeRejection,
        on channel: any Channel
    ) -> EventLoopFuture<UpgradeAcceptance> {
        do {
            let pipeline = channel.pipeline.syncOperations
            // The first of the handlers of HTTP, behind those of TLS.
            let encoder = try pipeline.handler(type: HTTPResponseEncoder.self)
            try pipeline.addHandler(RefusalHandler(rejection, to: request), position: .before(encoder))
        } catch {
            // A pipeline of somebody's own: its handlers answer.
            return channel.eventLoop.makeFailedFuture(rejection)
        }
        return channel.closeFuture.flatMapThrowing { throw rejection }
    }
}
