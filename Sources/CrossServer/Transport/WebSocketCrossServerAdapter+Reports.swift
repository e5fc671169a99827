import CrossServerBus

// What goes wrong between servers
extension WebSocketCrossServerAdapter {
    /// Runs the closure for each message that was not sent after the call had returned, on an event loop: it must not
    /// block. What becomes of a request, only who waits for its replies is told.
    public func onUnsentMessage(_ handler: @escaping @Sendable (UnsentMessage) -> Void) {
        self.transport.unsentMessages.add(handler)
    }

    /// The messages that are not sent from now on. Ends with this server. When 1,000 wait, the oldest is dropped.
    public var unsentMessages: AsyncStream<UnsentMessage> { self.transport.unsentMessages.stream() }
}

extension WebSocketCrossServerAdapter {
    /// Runs the closure when messages of another server are lost for this one, on an event loop: it must not block.
    public func onMissedMessages(_ handler: @escaping @Sendable (MissedMessages) -> Void) {
        self.transport.gaps.add(handler)
    }

    /// Messages that are lost for this server, from now on. Ends with it. When 1,000 wait, the oldest is dropped.
    public var missedMessages: AsyncStream<MissedMessages> { self.transport.gaps.stream() }
}
