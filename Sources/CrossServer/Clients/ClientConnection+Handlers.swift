import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore

// The handlers of one client run one after the other, in the order in which things happened.
extension ClientConnection {
    func opened() {
        if self.adapter.isStopping { self.close(.goingAway, reason: "server stops") }
        let list = self.adapter.listeners { $0.system.connection }
        self.work.open()
        self.step { self.run(list, (self.socket, self.socket.request), event: "connection") }
        self.drain()
    }

    /// Handles a message at once if nothing is before it, which needs no queue.
    func enqueue(_ message: WebSocketMessage) {
        guard !self.isDraining, self.work.begin() else {
            if !self.takeReply(message) { self.enqueue(.message(message)) }
            return
        }
        self.step { self.dispatch(message) }
        if !self.work.isIdle { self.drain() }
    }

    func enqueue(_ inbound: HandlerQueue.Inbound) {
        self.work.append(inbound)
        self.drain()
        if self.work.isOver(
            messages: self.adapter.configuration.limits.maximumQueuedMessages,
            bytes: self.adapter.configuration.limits.maximumQueuedBytes
        ) {
            self.setPaused(true)
        }
    }

    private func drain() {
        guard !self.isDraining else { return }
        while let inbound = self.work.next() {
            self.step { self.dispatch(inbound) }
        }
        if self.hasRunCloseListeners, self.work.isIdle { return self.end() }
        if self.isPaused,
            !self.work.isOver(
                messages: self.adapter.configuration.limits.maximumQueuedMessages / 2,
                bytes: self.adapter.configuration.limits.maximumQueuedBytes / 2
            )
        {
            self.setPaused(false)
        }
    }

    /// A handler that ends before its start returns must not drain the queue from inside: the stack would grow.
    private func step(_ body: () -> Void) {
        self.isDraining = true
        body()
        self.work.finishedStep()
        self.isDraining = false
    }

    /// The task that the queue waited for has ended.
    func handlerFinished() {
        self.work.taskFinished()
        self.drain()
    }

    /// The connection has ended, and its `close` listeners have run.
    private func end() {
        self.hasRunCloseListeners = false
        self.socket.loop.connections.remove(self)
        self.socket.connection = nil
        self.adapter.connectionEnded(self.socket)
    }

    private func dispatch(_ inbound: HandlerQueue.Inbound) {
        switch inbound {
        case .message(let message):
            self.dispatch(message)
        case .rawMessage(let message):
            let list = self.adapter.listeners { $0.system.message }
            self.run(list, (self.socket, message), event: "message")
        case .clientPing:
            let list = self.adapter.listeners { $0.system.clientPing }
            self.run(list, self.socket, event: "client-ping")
        case .pong(let payload):
            let list = self.adapter.listeners { $0.system.pong }
            self.run(list, (self.socket, self.socket.request, payload), event: "pong")
        case .error(let error):
            let list = self.adapter.listeners { $0.system.error }
            self.run(list, (self.socket, self.socket.request, error), event: "error")
        case .inputEnded:
            self.close(.normalClosure, reason: "end of input")
        case .closed(let close):
            self.hasRunCloseListeners = true
            let list = self.adapter.listeners { $0.system.close }
            self.run(list, (self.socket, self.socket.request, close.code, close.reason), event: "close")
        }
    }

    private func dispatch(_ message: WebSocketMessage) {
        guard message.isText else { return self.invalid(message, "binary data that is not UTF-8") }
        do throws(EnvelopeError) {
            self.dispatch(try Envelope(scanning: message.payload), of: message)
        } catch {
            self.invalid(message, "\(error)")
        }
    }

    private func dispatch(_ envelope: consuming Envelope, of message: WebSocketMessage) {
        let limit = self.adapter.configuration.limits.maximumNameLength
        guard let event = envelope.event, event.utf8.count <= limit else {
            if envelope.isReplyToServer {
                self.received(reply: envelope)
                if self.adapter.hasMessageListeners { self.work.prepend(.rawMessage(message)) }
                return
            }
            let problem = envelope.event == nil ? "no event" : "the event's name is longer than \(limit) bytes"
            return self.invalid(message, problem)
        }
        let (list, hasMessageListeners) = self.adapter.listeners {
            ($0.client[event] ?? ListenerList(), !$0.system.message.isEmpty)
        }
        if hasMessageListeners { self.work.prepend(.rawMessage(message)) }
        let reply = envelope.callbackId.map { Reply(socket: self.socket, callbackId: $0) }
        if list.isEmpty {
            guard self.adapter.configuration.answersUnknownEvents, !hasMessageListeners else { return }
            reply?.fail(RequestFailure(code: "UNKNOWN_EVENT", message: "no handler for this event"))
            return
        }
        self.run(list, (self.socket, envelope.payload, reply), event: event, reply)
    }

    /// A message that is no event is for the listeners of all messages, if there are any.
    private func invalid(_ message: WebSocketMessage, _ problem: String) {
        if self.adapter.hasMessageListeners {
            self.work.prepend(.rawMessage(message))
            return
        }
        LoopCounters.increment(self.socket.loop.counters.invalidMessages)
        self.adapter.logThrottles.invalidMessage.log(
            self.adapter.logger,
            level: .notice,
            "invalid message dropped",
            metadata: ["client": "\(self.socket)", "problem": "\(LogText(problem))"]
        )
    }

    /// Runs listeners in their order, inline for as long as they are plain. From the first asynchronous one on, the
    /// rest runs in a task, and the queue waits for it.
    private func run<Arguments: Sendable>(
        _ list: ListenerList<Arguments>,
        _ arguments: Arguments,
        event: String,
        _ reply: Reply? = nil
    ) {
        for (index, listener) in list.listeners.enumerated() where self.adapter.claim(listener) {
            switch listener.body {
            case .plain(let body):
                do {
                    try body(arguments)
                } catch {
                    self.context(for: event, reply).failed(error)
                }
            case .asynchronous(let body):
                let rest = list.listeners[(index + 1)...]
                let context = self.context(for: event, reply)
                self.startTask {
                    await context.run(body, arguments)
                    for listener in rest where context.adapter.claim(listener) {
                        await context.run(listener, arguments)
                    }
                    context.ended()
                }
                return
            }
        }
    }

    private func context(for event: String, _ reply: Reply?) -> HandlerContext {
        HandlerContext(adapter: self.adapter, socket: self.socket, event: event, reply: reply)
    }

    private func startTask(_ operation: @escaping @Sendable () async -> Void) {
        self.work.taskStarted()
        let executor = self.socket.loop.executor
        let task: Task<Void, Never>
        if #available(macOS 26, iOS 26, tvOS 26, watchOS 26, visionOS 26, *) {
            // Starts here and now; a handler that never waits has ended when this returns.
            task = Task.immediate(executorPreference: executor, operation: operation)
        } else {
            task = Task(executorPreference: executor, operation: operation)
        }
        if self.work.setTask(task) { task.cancel() }
    }
}

extension WebSocketMessage {
    /// Whether it can be read as text: the original takes binary messages as text.
    var isText: Bool {
        self.kind == .text || String(validating: self.payload.readableBytesView, as: UTF8.self) != nil
    }
}

/// What handlers of one message need besides their arguments: where an error goes, and who waits for the end.
struct HandlerContext: Sendable {
    let adapter: WebSocketCrossServerAdapter
    let socket: ClientSocket
    let event: String
    let reply: Reply?

    func run<Arguments: Sendable>(_ listener: Listener<Arguments>, _ arguments: Arguments) async {
        switch listener.body {
        case .plain(let body):
            do {
                try body(arguments)
            } catch {
                self.failed(error)
            }
        case .asynchronous(let body):
            await self.run(body, arguments)
        }
    }

    func run<Arguments: Sendable>(
        _ body: @Sendable (Arguments) async throws -> Void,
        _ arguments: Arguments
    ) async {
        do {
            try await body(arguments)
        } catch {
            self.failed(error)
        }
    }

    /// Logs what a handler threw, and answers the request. Clients see only what was meant for them.
    func failed(_ error: any Error) {
        if let failure = error as? RequestFailure, let reply = self.reply { return reply.fail(failure) }
        // Before somebody who waits for the reply goes on.
        LoopCounters.increment(self.socket.loop.counters.handlerFailures)
        self.reply?.fail(.internalError)
        self.adapter.logThrottles.handlerFailure.log(
            self.adapter.logger,
            level: .error,
            "handler failed",
            metadata: ["client": "\(self.socket)", "event": "\(LogText(self.event))", "error": "\(LogText(error))"]
        )
    }

    /// Called at the end of a task that runs handlers, on the loop's executor.
    func ended() {
        self.socket.onConnection { $0.handlerFinished() }
    }
}
