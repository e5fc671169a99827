import CrossServerWire
public import NIOCore

/// Receives what happens on a connection. All calls come on the channel's event loop.
public protocol WebSocketHandlerDelegate: AnyObject {
    /// A whole message. Not called any more once the connection is closing.
    func webSocket(_ handler: WebSocketHandler, received message: WebSocketMessage)

    func webSocket(_ handler: WebSocketHandler, receivedPong payload: ByteBuffer)

    /// A violation of the protocol (``WebSocketError``) or an I/O error; `closed` follows.
    func webSocket(_ handler: WebSocketHandler, failed error: any Error)

    /// The outbound limit dropped a message. Called from within ``WebSocketHandler/send(_:)``.
    func webSocket(_ handler: WebSocketHandler, dropped message: EncodedMessage)

    /// The server that accepted the connection stops gracefully, and waits for its end. By default it is closed with 1001.
    func webSocketShouldQuiesce(_ handler: WebSocketHandler)

    /// The connection is gone. Exactly once, and the last call; the handler then lets go of the delegate.
    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose)
}

extension WebSocketHandlerDelegate {
    public func webSocketShouldQuiesce(_ handler: WebSocketHandler) {
        handler.close(code: .goingAway, reason: "server stops")
    }
}
