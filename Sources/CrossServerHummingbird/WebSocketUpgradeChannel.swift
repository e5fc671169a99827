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
    private let limits: Limits
    private let adapter: @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?

    init(
        responder: @escaping HTTPChannelHandler.Responder,
        limits: Limits,
        configuration: HTTP1Channel.Configuration,
        adapter: @escaping @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?
    ) {
        self.limits = limits
        self.adapter = adapter
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
            let kind = channel.eventLoop.makePromise(of: HTTP1Channel.Value?.self)
            let handler = FirstRequestHandler(
                limits: self.limits,
                adapter: self.adapter,
                setUpHTTP: { self.http.setup(channel: $0, logger: logger) },
                kind: kind
            )
            try channel.pipeline.syncOperations.addHandler(handler)
            return Value(channel: channel, http: kind.futureResult)
        }
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
