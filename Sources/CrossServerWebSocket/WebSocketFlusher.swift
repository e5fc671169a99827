public import NIOCore

/// One per event loop: collects the handlers that have something to write and flushes each once, at the end of the
/// loop's turn. Used on its loop only.
public final class WebSocketFlusher {
    let eventLoop: any EventLoop

    public init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }
}

@available(*, unavailable)
extension WebSocketFlusher: Sendable {}
