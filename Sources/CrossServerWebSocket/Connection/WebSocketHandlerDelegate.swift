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

    /// Bytes of messages that it was given and that are not handled to the end yet. They count against the server's memory.
    var webSocketQueuedBytes: Int { get }

    /// This connection takes more memory than before, and all of the server's take more than they may.
    func webSocketExceedsMemory(_ handler: WebSocketHandler)

    /// The server that accepted the connection stops gracefully, and waits for its end. By default it is closed with 1001.
    func webSocketShouldQuiesce(_ handler: WebSocketHandler)

    /// The peer has closed its sending half without a Close frame. It gets what is sent yet: close the connection when all
    /// that it has asked is answered. By default it is closed at once, behind what is queued.
    func webSocketInputEnded(_ handler: WebSocketHandler)

    /// The connection is gone. Exactly once, and the last call; the handler then lets go of the delegate.
    func webSocket(_ handler: WebSocketHandler, closed close: WebSocketClose)
}

extension WebSocketHandlerDelegate {
    public var webSocketQueuedBytes: Int { 0 }

    public func webSocketExceedsMemory(_ handler: WebSocketHandler) {}

    public func webSocketShouldQuiesce(_ handler: WebSocketHandler) {
        handler.close(code: .goingAway, reason: "server stops")
    }

    public func webSocketInputEnded(_ handler: WebSocketHandler) {
        handler.close(code: .normalClosure, reason: "end of input")
    }
}
