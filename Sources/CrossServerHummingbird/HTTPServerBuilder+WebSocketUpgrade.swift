public import CrossServer
public import HummingbirdCore

extension HTTPServerBuilder {
    /// Serves HTTP/1.1 and the adapter's clients on one port.
    ///
    /// ```swift
    /// let adapter = WebSocketCrossServerAdapter(serverName: "chat-1")
    /// let app = Application(router: router, server: .http1WebSocketUpgrade(to: adapter), services: [adapter])
    /// try await app.runService()
    /// ```
    ///
    /// A connection whose first request asks for a WebSocket becomes the adapter's, with its limits and its answers, and
    /// never gets an HTTP handler. ``WebSocketCrossServerAdapter/Configuration/path`` is the only path for that when it
    /// is set; requests for other paths, and those that ask for no WebSocket, go to the router. A connection that already
    /// had HTTP requests is closed when it asks for a WebSocket: a proxy that keeps connections then takes a new one
    /// (RFC 9112, section 9.3.1).
    ///
    /// When the server stops gracefully the adapter closes its clients at the pace of
    /// ``WebSocketCrossServerAdapter/Configuration/shutdown``, in whatever order the two are in a service group. A
    /// connection that sends no request within the adapter's ``Limits/handshakeTimeout`` is closed.
    ///
    /// Connections of HTTP, and those whose first request is not there yet, are counted apart from the adapter's clients,
    /// against the same ``Limits/maximumConnections`` and ``Limits/maximumConnectionsPerAddress``. One that is beyond gets
    /// `503 Service Unavailable` or `429 Too Many Requests`. One that is silent between two requests, or within one, is
    /// closed after the `idleTimeout` of the configuration, 30 s when that has none. One that takes nothing of what it is
    /// sent is closed after twice that time at the latest.
    ///
    /// - Parameter adapter: made without an address to listen at. Its ``WebSocketCrossServerAdapter/Configuration/tls``
    ///   is not used: give this builder to Hummingbird's `.tls(_:tlsConfiguration:)`.
    public static func http1WebSocketUpgrade(
        to adapter: WebSocketCrossServerAdapter,
        configuration: HTTP1Channel.Configuration = .init()
    ) -> HTTPServerBuilder {
        adapter.expectClients()
        let limits = adapter.configuration.limits
        let port = SharedPortConnections(limits: limits) { error, _ in adapter.acceptFailed(error) }
        return .http1WebSocketUpgrade(port, configuration: configuration) { request in
            if let path = adapter.configuration.path, request.path != path { return nil }
            return adapter
        }
    }

    /// Serves HTTP/1.1 and the clients of several adapters on one port, for example one for each path.
    ///
    /// - Parameters:
    ///   - limits: their ``Limits/handshakeTimeout`` and ``Limits/maximumHandshakeSize`` count until a connection has an
    ///     adapter, ``Limits/maximumConnections`` and ``Limits/maximumConnectionsPerAddress`` for all that have none.
    ///   - configuration: its `idleTimeout` is 30 s when it is nil.
    ///   - adapter: the one for a request, or nil when the router shall answer. Called on the connection's event loop.
    public static func http1WebSocketUpgrade(
        limits: Limits = Limits(),
        configuration: HTTP1Channel.Configuration = .init(),
        to adapter: @escaping @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?
    ) -> HTTPServerBuilder {
        let failures = AcceptFailureLog()
        let port = SharedPortConnections(limits: limits) { error, logger in failures.report(error, logger) }
        return .http1WebSocketUpgrade(port, configuration: configuration, to: adapter)
    }

    private static func http1WebSocketUpgrade(
        _ port: SharedPortConnections,
        configuration: HTTP1Channel.Configuration,
        to adapter: @escaping @Sendable (UpgradeRequest) -> WebSocketCrossServerAdapter?
    ) -> HTTPServerBuilder {
        HTTPServerBuilder { responder in
            WebSocketUpgradeChannel(responder: responder, port: port, configuration: configuration, adapter: adapter)
        }
    }
}
