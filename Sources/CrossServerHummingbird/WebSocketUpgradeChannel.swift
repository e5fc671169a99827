import CrossServer
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore

/// A connection that becomes one of HTTP or one of an adapter when its first request is there.
struct WebSocketUpgradeChannel: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        /// Nil for an adapter's connection.
        let http: EventLoopFuture<HTTP1Channel.Value?>
    }

    private let http: HTTP1Channel
    private let port: SharedPortConnections
    private let idleTimeout: TimeAmount
    /// For connections whose configuration has none.
    private static let defaultIdleTimeout = TimeAmount.seconds(30)
    private let adapter: @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?

    init(
        responder: @escaping HTTPChannelHandler.Responder,
        port: SharedPortConnections,
        configuration: HTTP1Channel.Configuration,
        adapter: @escaping @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?
    ) {
        self.port = port
        self.adapter = adapter
        var configuration = configuration
        self.idleTimeout = configuration.idleTimeout ?? Self.defaultIdleTimeout
        configuration.idleTimeout = self.idleTimeout
        self.http = HTTP1Channel(
            responder: { request, writer, channel in
                if let upgrade = UpgradeRequest(request, on: channel), adapter(upgrade) != nil {
                    // The end without an answer: a client that may retry does so on another connection.
                    throw LateUpgrade()
                }
                try await responder(request, writer, channel)
            },
            configuration: configuration
        )
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let admission: ConnectionTable.Admission
            switch self.port.admit(channel, logger: logger) {
            case .success(let granted): admission = granted
            case .failure(let rejection):
                try channel.pipeline.syncOperations.addHandler(RefusalHandler(rejection, to: nil))
                return Value(channel: channel, http: channel.eventLoop.makeFailedFuture(rejection))
            }
            let kind = channel.eventLoop.makePromise(of: HTTP1Channel.Value?.self)
            let port = self.port
            // An adapter counts its clients itself.
            kind.futureResult.whenComplete { kind in
                if case .success(.some) = kind {
                    channel.closeFuture.whenComplete { _ in port.release(admission) }
                } else {
                    port.release(admission)
                }
            }
            let handler = FirstRequestHandler(
                limits: port.limits,
                adapter: self.adapter,
                setUpHTTP: { self.setUpHTTP($0, logger) },
                kind: kind
            )
            try channel.pipeline.syncOperations.addHandler(handler)
            return Value(channel: channel, http: kind.futureResult)
        }
    }

    private func setUpHTTP(_ channel: any Channel, _ logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        do {
            let handler = StalledAnswerHandler(interval: self.idleTimeout)
            try channel.pipeline.syncOperations.addHandler(handler, position: .first)
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return self.http.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async {
        do {
            guard let http = try await value.http.get() else { return }
            await self.http.handle(value: http, logger: logger)
        } catch {
            logger.trace("connection ended before its first request", metadata: ["error": "\(error)"])
        }
    }
}

/// A WebSocket was asked for on a connection that has had HTTP requests.
private struct LateUpgrade: Error {}

extension UpgradeRequest {
    /// Nil when the request does not ask for a WebSocket.
    fileprivate init?(_ request: Request, on channel: any Channel) {
        let head = request.head
        guard head.headerFields[.upgrade]?.lowercased().contains("websocket") == true else { return nil }
        self.init(
            method: head.method.rawValue,
            target: head.path ?? "/",
            headers: head.headerFields,
            remoteAddress: channel.remoteAddress
        )
    }
}
