import CrossServerBus
import CrossServerWire
import NIOCore
import Synchronization

// What requests wait for
extension ServerRequests {
    /// A server has gone that requests may wait for.
    func endRequests(to server: String, _ reason: MissingReply.Reason) {
        self.performAll { $0.gone(server, reason: reason) }
    }

    /// Those that wait, and those to come.
    func end() {
        self.pending.withLock { $0.isEnded = true }
        self.performAll { $0.endAll(.stopping) }
    }

    func cancel(_ number: UInt64) {
        self.pending.withLock { $0.table.cancel(number) }?.end()
    }

    /// A server has answered a request of this one.
    func answered(_ number: UInt64, by server: String, _ payload: Payload, error: Payload?) {
        if let error, error["code"]?.string == ServerEvents.observerCode {
            return self.perform { $0.declined(number, by: server) }
        }
        let result = self.pending.withLock { pending in
            let result = pending.table.reply(number, from: server)
            if case .success(let action) = result { Self.perform(action, payload: payload, error: error) }
            return result
        }
        if case .failure = result { ClusterCounters.increment(self.transport.counters.repliesIgnored) }
    }

    func perform(_ body: (inout RequestTable<ReplySink>) -> RequestTable<ReplySink>.Action?) {
        let performed = self.pending.withLock { pending in
            let action = body(&pending.table)
            if let action { Self.perform(action) }
            return action
        }
        withExtendedLifetime(performed) {}
    }

    func performAll(_ body: (inout RequestTable<ReplySink>) -> [RequestTable<ReplySink>.Action]) {
        let performed = self.pending.withLock { pending in
            let actions = body(&pending.table)
            for action in actions { Self.perform(action) }
            return actions
        }
        withExtendedLifetime(performed) {}
    }

    /// Under the lock, so that a sink takes everything in order; it only ever queues. But it is let go of behind the lock:
    /// what its closure holds is the application's.
    static func perform(_ action: RequestTable<ReplySink>.Action, payload: Payload = .absent, error: Payload? = nil) {
        if let reply = action.reply {
            if let error {
                let code = error["code"]?.string ?? "UNKNOWN"
                let message = error["message"]?.string ?? ""
                let failure = MissingReply.Reason.failed(code: code, message: message)
                action.sink.take(.missing(MissingReply(server: reply.server, reason: failure)))
            } else {
                action.sink.take(.reply(server: reply.server, payload, remaining: reply.remaining))
            }
        }
        if let end = action.end {
            for missing in end.missing { action.sink.take(.missing(missing)) }
            action.sink.end()
        }
    }

    func expire() {
        let now = NIODeadline.now()
        self.performAll { $0.expire(now: now) }
        self.checkOverdueReplies(now)
        let isTicking = self.pending.withLock { pending in
            pending.isTicking = pending.table.count > 0
            return pending.isTicking
        }
        if isTicking { self.transport.eventLoop.scheduleTask(in: Self.tick) { self.expire() } }
    }
}
