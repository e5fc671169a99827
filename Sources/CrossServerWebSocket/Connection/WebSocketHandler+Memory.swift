package import CrossServerWire
import NIOCore

// What the connection holds, for the budget of the server
extension WebSocketHandler {
    /// Bytes in memory, as the budget knows them.
    package var heldBytes: Int { self.account.total }

    /// Tells the budget what this connection holds, when that has changed by a step.
    ///
    /// - Parameter exactly: tells it also when it has changed by less.
    package func updateAccount(exactly: Bool = false) {
        guard let memory = self.memory, let delegate = self.delegate else { return }
        // It only grows until somebody asks the channel.
        if self.channelBytes >= MemoryAccount.step || exactly && self.channelBytes > 0 {
            self.channelBytes = self.bufferedInChannel()
        }
        let now = MemoryAccount(
            received: self.inputBytes,
            queued: delegate.webSocketQueuedBytes,
            sending: self.queue.byteCount + self.channelBytes,
            compression: self.deflate?.heldBytes ?? 0
        )
        guard exactly || now.differs(from: self.account) else { return }
        let hasGrown = now.total > self.account.total
        self.account.change(to: now, in: memory)
        if hasGrown, memory.isExceeded { delegate.webSocketExceedsMemory(self) }
    }

    func releaseMemory() {
        guard let memory = self.memory else { return }
        self.account.change(to: MemoryAccount(), in: memory)
        self.memory = nil
    }

    /// Lets go of everything the connection holds, and closes it. What the channel has yet goes with the connection, at
    /// the latest when its time to close is over.
    package func shed(code: CloseCode, reason: String) {
        self.discardOutput()
        _ = self.flusher.takeFrames(of: self)
        let action = self.closing.failed(.init(code: code, reason: reason))
        self.discardInput()
        self.deflate?.releaseStreams()
        self.releaseMemory()
        self.perform(action)
    }
}
