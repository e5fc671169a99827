import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore

// The handlers of one client run one after the other, in the order in which things happened; those that say that they are
// concurrent run beside them.
extension ClientConnection {
    func opened() {
        if self.owner.isStopping { self.close(.goingAway, reason: "server stops") }
        let list = self.shared.listeners { $0.system.connection }
        self.work.open()
        self.step {
            self.run(
                list,
                (self.socket, self.socket.request),
                HandlerContext.Origin(event: "connection", stage: .opening)
            )
        }
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
        let limits = self.shared.configuration.limits
        if self.work.isOver(messages: limits.maximumQueuedMessages, bytes: limits.maximumQueuedBytes) {
            self.updateReading()
        }
    }

    func drain() {
        guard !self.isDraining else { return }
        while let inbound = self.work.next() {
            if self.isPaused { self.pauseGoesOn() }
            self.step { self.dispatch(inbound) }
        }
        if self.isEnded { return self.handlersEnded() }
        if self.isPaused { self.updateReading() }
    }

    /// A handler that ends before its start returns must not drain the queue from inside: the stack would grow.
    private func step(_ body: () -> Void) {
        self.isDraining = true
        body()
        self.work.finishedStep()
        self.isDraining = false
    }

    /// A task has ended.
    func handlerFinished(_ number: Int) {
        self.work.taskFinished(number)
        if self.work.isFull { self.updateIsFull() }
        self.drain()
    }

    private func updateIsFull() {
        let limits = self.shared.configuration.limits
        self.work.isFull =
            self.work.concurrentCount >= limits.maximumConcurrentHandlersPerClient
            || self.work.concurrentBytes > limits.maximumQueuedBytes
    }

    private func dispatch(_ inbound: HandlerQueue.Inbound) {
        switch inbound {
        case .message(let message):
            self.dispatch(message)
        case .rawMessage(let message):
            let list = self.shared.listeners { $0.system.message }
            let bytes = message.payload.readableBytes
            self.run(list, (self.socket, message), HandlerContext.Origin(event: "message", bytes: bytes))
        case .clientPing:
            let list = self.shared.listeners { $0.system.clientPing }
            self.run(list, self.socket, HandlerContext.Origin(event: "client-ping"))
        case .pong(let payload):
            let list = self.shared.listeners { $0.system.pong }
            self.run(list, (self.socket, self.socket.request, payload), HandlerContext.Origin(event: "pong"))
        case .error(let error):
            let list = self.shared.listeners { $0.system.error }
            self.run(list, (self.socket, self.socket.request, error), HandlerContext.Origin(event: "error"))
        case .inputEnded:
            self.close(.normalClosure, reason: "end of input")
        case .closed(let close):
            self.runCloseListeners(close, besideQueue: false)
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
        let limit = self.shared.configuration.limits.maximumNameLength
        guard let event = envelope.event, event.utf8.count <= limit else {
            if envelope.isReplyToServer {
                if self.shared.hasMessageListeners { self.work.prepend(.rawMessage(message)) }
                return self.received(reply: envelope)
            }
            let problem = envelope.event == nil ? "no event" : "the event's name is longer than \(limit) bytes"
            return self.invalid(message, problem)
        }
        let (list, hasMessageListeners) = self.shared.listeners {
            ($0.client[event] ?? ListenerList(), !$0.system.message.isEmpty)
        }
        if hasMessageListeners { self.work.prepend(.rawMessage(message)) }
        let reply = envelope.callbackId.map { Reply(socket: self.socket, callbackId: $0) }
        if list.isEmpty {
            guard self.shared.configuration.answersUnknownEvents else { return }
            reply?.fail(RequestFailure(code: "UNKNOWN_EVENT", message: "no handler for this event"))
            return
        }
        let origin = HandlerContext.Origin(event: event, bytes: message.payload.readableBytes)
        self.run(list, (self.socket, envelope.payload, reply), origin, reply)
    }

    /// A message that is no event. The listeners of all messages see it all the same.
    private func invalid(_ message: WebSocketMessage, _ problem: String) {
        if self.shared.hasMessageListeners { self.work.prepend(.rawMessage(message)) }
        LoopCounters.increment(self.socket.loop.counters.invalidMessages)
        self.shared.throttles.invalidMessage.log(
            self.shared.logger,
            level: .notice,
            "invalid message dropped",
            metadata: ["client": "\(self.socket)", "problem": "\(LogText(problem))"]
        )
    }

    /// Runs listeners in their order, inline for as long as they are plain. From the first asynchronous one on, the
    /// rest runs in a task, and the queue waits for it. A concurrent one has a task of its own, for which nobody waits.
    ///
    /// - Returns: the number of the task that the queue waits for, if there is one.
    @discardableResult
    func run<Arguments: Sendable>(
        _ list: ListenerList<Arguments>,
        _ arguments: Arguments,
        _ origin: HandlerContext.Origin,
        besideQueue: Bool = false,
        _ reply: Reply? = nil
    ) -> Int? {
        for (index, listener) in list.listeners.enumerated() where self.shared.claim(listener) {
            switch listener.body {
            case .plain(let body):
                do {
                    try body(arguments)
                } catch {
                    self.context(origin, reply).failed(error)
                    if origin.stage == .opening { return nil }
                }
            case .asynchronous where listener.isConcurrent && origin.stage != .closing:
                self.startConcurrent(listener, arguments, origin, reply)
            case .asynchronous(let body):
                let rest = list.listeners[(index + 1)...]
                let outlives =
                    origin.stage == .closing || listener.outlivesConnection || rest.contains { $0.outlivesConnection }
                let number =
                    besideQueue
                    ? self.work.concurrentTaskStarted(outlivesConnection: outlives, bytes: 0)
                    : self.work.taskStarted(outlivesConnection: outlives, bytes: origin.bytes)
                let context = self.context(origin, reply)
                self.startTask(number) {
                    await context.run(body, rest, arguments)
                    context.ended(number)
                }
                return number
            }
        }
        return nil
    }

    /// The next message does not wait for this listener, unless as many run as may.
    func startConcurrent<Arguments: Sendable>(
        _ listener: Listener<Arguments>,
        _ arguments: Arguments,
        _ origin: HandlerContext.Origin,
        _ reply: Reply?
    ) {
        let number = self.work.concurrentTaskStarted(
            outlivesConnection: listener.outlivesConnection,
            bytes: origin.bytes
        )
        self.updateIsFull()
        let context = self.context(origin, reply)
        self.startTask(number) {
            await context.run(listener, arguments)
            context.ended(number)
        }
    }

    private func context(_ origin: HandlerContext.Origin, _ reply: Reply?) -> HandlerContext {
        HandlerContext(shared: self.shared, socket: self.socket, origin: origin, reply: reply)
    }

    private func startTask(_ number: Int, _ operation: @escaping @Sendable () async -> Void) {
        let executor = self.socket.loop.executor
        let task: Task<Void, Never>
        if #available(macOS 26, iOS 26, tvOS 26, watchOS 26, visionOS 26, *) {
            // Starts here and now; a handler that never waits has ended when this returns.
            task = Task.immediate(executorPreference: executor, operation: operation)
        } else {
            task = Task(executorPreference: executor, operation: operation)
        }
        if self.work.setTask(task, number) { task.cancel() }
    }
}

extension WebSocketMessage {
    /// Whether it can be read as text: the original takes binary messages as text.
    var isText: Bool {
        self.kind == .text || String(validating: self.payload.readableBytesView, as: UTF8.self) != nil
    }
}
