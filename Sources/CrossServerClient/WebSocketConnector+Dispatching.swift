import CrossServerWebSocket
import CrossServerWire
import Logging
import Synchronization

extension WebSocketConnector {
    /// Starts the listeners of what happens, until the connector has finished; then waits for those that run.
    func dispatchOccurrences() async {
        await withDiscardingTaskGroup { tasks in
            while let occurrence = await self.queue.next(onHalfEmpty: { self.onCore { $0.resumeReading() } }) {
                self.dispatch(occurrence, &tasks)
            }
        }
    }

    private func dispatch(_ occurrence: ClientOccurrence, _ tasks: inout DiscardingTaskGroup) {
        switch occurrence {
        case .open: self.start(\.open, (), Call(event: "open"), &tasks)
        case .close(let close, let connection):
            self.start(\.close, close, Call(event: "close", endedConnection: connection), &tasks)
        case .error(let error, let connection):
            self.start(\.error, error, Call(event: "error", endedConnection: connection), &tasks)
        case .ping: self.start(\.ping, (), Call(event: "ping"), &tasks)
        case .pong(let roundTrip): self.start(\.pong, roundTrip, Call(event: "pong"), &tasks)
        case .pongTimeout: self.start(\.pongTimeout, (), Call(event: "pong-timeout"), &tasks)
        case .repeatLimit(let limit): self.start(\.repeatLimit, limit, Call(event: "repeat-limit"), &tasks)
        case .reconnect(let attempt, let delay):
            self.start(\.reconnect, (attempt: attempt, delay: delay), Call(event: "reconnect"), &tasks)
        case .message(let message, let event):
            let bytes = occurrence.bytes
            if let event { self.dispatch(event, bytes: bytes, &tasks) }
            self.start(\.message, message, Call(event: "message", bytes: bytes), &tasks)
        }
    }

    private func dispatch(_ event: ServerEvent, bytes: Int, _ tasks: inout DiscardingTaskGroup) {
        let list = self.listeners { $0.list(of: event.name) }
        let call = Call(event: event.name, bytes: bytes)
        if let id = event.requestId {
            let request = ServerRequest(id, connection: event.connection, connector: self)
            self.answer(request, list, event.payload, call, &tasks)
        } else {
            self.start(list, (event.payload, nil), call, &tasks)
        }
    }

    private func start<Arguments: Sendable>(
        _ event: KeyPath<ClientSystemListeners, ListenerList<Arguments>>,
        _ arguments: Arguments,
        _ call: Call,
        _ tasks: inout DiscardingTaskGroup
    ) {
        self.start(self.listeners { $0.system[keyPath: event] }, arguments, call, &tasks)
    }

    /// Starts listeners in their order; none waits for the end of another.
    private func start<Arguments: Sendable>(
        _ list: ListenerList<Arguments>,
        _ arguments: Arguments,
        _ call: Call,
        _ tasks: inout DiscardingTaskGroup
    ) {
        for listener in list.listeners where self.claim(listener) {
            switch listener.body {
            case .plain(let body):
                do {
                    try HandledConnection.$number.withValue(call.endedConnection) { try body(arguments) }
                } catch {
                    _ = self.failure(of: call, error)
                }
            case .asynchronous(let body):
                self.startTask(call, &tasks) {
                    do {
                        try await HandledConnection.$number.withValue(call.endedConnection) {
                            try await body(arguments)
                        }
                    } catch {
                        _ = self.failure(of: call, error)
                    }
                }
            }
        }
    }

    /// Runs the listeners of a request one after the other, in place for as long as they are plain: the first that
    /// answers is heard, and their end is an answer too.
    private func answer(
        _ request: ServerRequest,
        _ list: ListenerList<ServerEventArguments>,
        _ payload: Payload,
        _ call: Call,
        _ tasks: inout DiscardingTaskGroup
    ) {
        let reply = Reply(request)
        if list.isEmpty {
            return reply.fail(RequestFailure(code: "UNKNOWN_EVENT", message: "no listener of this event"))
        }
        var call = call
        call.isRequest = true
        var failure: RequestFailure?
        for (index, listener) in list.listeners.enumerated() where self.claim(listener) {
            guard case .plain(let body) = listener.body else {
                return self.startTask(call, &tasks) { [call, failure] in
                    var failure = await self.run(listener, (payload, reply), call, after: failure)
                    for listener in list.listeners[(index + 1)...] where self.claim(listener) {
                        failure = await self.run(listener, (payload, reply), call, after: failure)
                    }
                    request.listenersEnded(reply, failure)
                }
            }
            do {
                try body((payload, reply))
            } catch {
                let latest = self.failure(of: call, error)
                failure = failure ?? latest
            }
        }
        request.listenersEnded(reply, failure)
    }

    /// - Returns: the first failure, which may be the one before.
    private func run(
        _ listener: Listener<ServerEventArguments>,
        _ arguments: ServerEventArguments,
        _ call: Call,
        after failure: RequestFailure?
    ) async -> RequestFailure? {
        do {
            switch listener.body {
            case .plain(let body): try body(arguments)
            case .asynchronous(let body): try await body(arguments)
            }
            return failure
        } catch {
            let latest = self.failure(of: call, error)
            return failure ?? latest
        }
    }

    /// Starts a task that `run()` waits for: here and now, where the system can. Otherwise on the event loop, where they
    /// start in their order too.
    private func startTask(
        _ call: Call,
        _ tasks: inout DiscardingTaskGroup,
        _ body: @escaping @Sendable () async -> Void
    ) {
        self.queue.listenerStarted(bytes: call.bytes)
        let operation: @Sendable () async -> Void = {
            await body()
            if self.queue.listenerEnded(bytes: call.bytes) { self.onCore { $0.resumeReading() } }
        }
        if #available(macOS 26, iOS 26, tvOS 26, watchOS 26, visionOS 26, *) {
            tasks.addImmediateTask(operation: operation)
        } else {
            tasks.addTask(executorPreference: self.executor, operation: operation)
        }
    }

    private func claim<Arguments>(_ listener: Listener<Arguments>) -> Bool {
        guard listener.claim() else { return false }
        if listener.isOnce { self.changeListeners { $0.removeSpent() } }
        return true
    }

    /// Logs what a listener has thrown, unless it was meant for the server.
    ///
    /// - Returns: what a server that has asked is told.
    private func failure(of call: Call, _ error: any Error) -> RequestFailure {
        switch error {
        case let error as UndecodablePayload:
            self.logUndecodable(error, event: call.event)
            return .invalidPayload("the payload of \(call.event) is not as expected: \(error.reason)")
        case let error as RequestFailure where call.isRequest:
            return error
        default:
            self.logger.error(
                "handler failed",
                metadata: ["event": "\(LogText(call.event))", "error": "\(LogText(error))"]
            )
            return .internalError
        }
    }

    /// Only the server is to blame, which must not be able to fill the log: the 1st, 2nd, 4th, 8th … are logged.
    private func logUndecodable(_ error: UndecodablePayload, event: String) {
        let count = self.undecodable.wrappingAdd(1, ordering: .relaxed).newValue
        guard count & (count - 1) == 0 else { return }
        self.logger.warning(
            "payload dropped: it does not have the shape of its event",
            metadata: ["event": "\(LogText(event))", "error": "\(LogText(error.reason))", "count": "\(count)"]
        )
    }
}

/// What the listeners of one occurrence run for.
private struct Call: Sendable {
    var event: String
    /// Of the message that they keep while they run.
    var bytes = 0
    /// The connection whose end they hear of.
    var endedConnection: UInt64?
    var isRequest = false
}

/// A payload did not decode as the type that its listener wants.
struct UndecodablePayload: Error {
    let reason: any Error
}
