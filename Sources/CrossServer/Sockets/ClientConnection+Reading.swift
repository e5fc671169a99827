import NIOCore

// When the server stops reading from a client, because its handlers are slower than it sends
extension ClientConnection {
    /// Stops reading, or goes on, as the queue needs.
    ///
    /// What must not wait, the reply to a request of the server, the answer to its ping or a heartbeat, may be behind messages
    /// that do. So meanwhile reading goes on beyond the bound, to one of its own.
    func updateReading() {
        let limits = self.shared.configuration.limits
        let (messages, bytes) = (limits.maximumQueuedMessages, limits.maximumQueuedBytes)
        // Half of a bound, so that reading does not stop and go on with each message.
        let part = self.isPaused ? 2 : 1
        guard self.work.isOver(messages: messages / part, bytes: bytes / part) else {
            return self.setPaused(false, isReadingAhead: false)
        }
        let isReadingAhead =
            self.mayReadAhead
            && !self.work.isOver(
                messages: messages + limits.maximumReadAheadMessages / part,
                bytes: bytes + limits.maximumReadAheadBytes / part
            )
        self.setPaused(!isReadingAhead, isReadingAhead: isReadingAhead)
    }

    /// One message less waits: a new time begins.
    func pauseGoesOn() {
        self.pausedAt = self.socket.loop.eventLoop.now
    }

    /// A client whose handlers do not get on is closed. So is one that has gone while nothing was read from it.
    func checkPause(now: NIODeadline) {
        guard self.isPaused, now - self.pausedAt >= TimeAmount(self.shared.configuration.limits.maximumPause) else {
            return
        }
        self.close(.tryAgainLater, reason: "handlers are too slow")
    }
}
