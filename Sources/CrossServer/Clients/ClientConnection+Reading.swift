import NIOCore

// When the server stops reading from a client, because its handlers are slower than it sends
extension ClientConnection {
    /// Stops reading, or goes on, as the queue needs.
    ///
    /// What the server waits for, the reply to a request or the answer to a ping, may be behind messages that wait. So
    /// meanwhile reading goes on beyond the bound, to one of its own.
    func updateReading() {
        let limits = self.adapter.configuration.limits
        let (messages, bytes) = (limits.maximumQueuedMessages, limits.maximumQueuedBytes)
        // Half of it, so that reading does not stop and go on with each message.
        let isOver =
            self.isPaused
            ? self.work.isOver(messages: messages / 2, bytes: bytes / 2)
            : self.work.isOver(messages: messages, bytes: bytes)
        guard isOver else { return self.setPaused(false, isReadingAhead: false) }
        let isReadingAhead =
            self.isOwedAnAnswer
            && !self.work.isOver(
                messages: messages + limits.maximumReadAheadMessages,
                bytes: bytes + limits.maximumReadAheadBytes
            )
        self.setPaused(!isReadingAhead, isReadingAhead: isReadingAhead)
    }

    /// One message less waits: a new time begins.
    func pauseGoesOn() {
        self.pausedAt = self.socket.loop.eventLoop.now
    }

    /// A client whose handlers do not get on is closed. So is one that has gone while nothing was read from it.
    func checkPause(now: NIODeadline) {
        guard self.isPaused, now - self.pausedAt >= TimeAmount(self.adapter.configuration.limits.maximumPause) else {
            return
        }
        self.close(.tryAgainLater, reason: "handlers are too slow")
    }
}
