import CrossServerWire
import Logging
import NIOCore

/// What handlers of one message need besides their arguments: where an error goes, and who waits for the end.
struct HandlerContext: Sendable {
    /// What handlers run for.
    struct Origin: Sendable {
        /// Where in its life the connection is.
        enum Stage: Sendable { case opening, open, closing }

        var event: String
        var stage = Stage.open
        /// Of the message, in memory.
        var bytes = 0
    }

    let shared: ClientSockets
    let socket: ClientSocket
    let origin: Origin
    let reply: Reply?

    /// Runs an asynchronous listener, and the others behind it.
    func run<Arguments: Sendable>(
        _ first: @Sendable (Arguments) async throws -> Void,
        _ rest: ArraySlice<Listener<Arguments>>,
        _ arguments: Arguments
    ) async {
        do {
            try await first(arguments)
        } catch {
            self.failed(error)
            if self.origin.stage == .opening { return }
        }
        for listener in rest where self.shared.claim(listener) {
            if listener.isConcurrent, self.origin.stage != .closing {
                self.socket.onConnection { $0.startConcurrent(listener, arguments, self.origin, self.reply) }
            } else if await !self.run(listener, arguments), self.origin.stage == .opening {
                return
            }
        }
    }

    /// - Returns: whether the listener has thrown nothing.
    @discardableResult
    func run<Arguments: Sendable>(_ listener: Listener<Arguments>, _ arguments: Arguments) async -> Bool {
        do {
            switch listener.body {
            case .plain(let body): try body(arguments)
            case .asynchronous(let body): try await body(arguments)
            }
            return true
        } catch {
            self.failed(error)
            return false
        }
    }

    /// Logs what a handler threw, and answers the request. Clients see only what was meant for them. A listener of
    /// `connection` that throws refuses the client.
    func failed(_ error: any Error) {
        if let failure = error as? RequestFailure, let reply = self.reply { return reply.fail(failure) }
        if self.origin.stage == .opening {
            let rejection = error as? ConnectionRejection
            self.socket.onConnection { $0.reject(rejection ?? ConnectionRejection(.internalError)) }
            if rejection != nil { return }
        }
        // The task was cancelled because there is nobody any more whom the handler could answer.
        if error is CancellationError, !self.socket.isOpen { return }
        // Before somebody who waits for the reply goes on.
        LoopCounters.increment(self.socket.loop.counters.handlerFailures)
        self.reply?.fail(.internalError)
        self.shared.throttles.handlerFailure.log(
            self.shared.logger,
            level: .error,
            "handler failed",
            metadata: [
                "client": "\(self.socket)", "event": "\(LogText(self.origin.event))", "error": "\(LogText(error))",
            ]
        )
    }

    /// Called at the end of a task that runs handlers, on the loop's executor.
    func ended(_ number: Int) {
        self.socket.handlerFinished(number)
    }
}
