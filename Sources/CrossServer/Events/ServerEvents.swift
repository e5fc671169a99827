import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// An event of a server with what its listeners get.
typealias CrossServerEventArguments = (CrossServerEvent, ServerReply?)

/// A message of a custom channel.
typealias ChannelArguments = (Payload, String)

/// The listeners of what other servers send.
struct ClusterListeners: Sendable {
    var events: [String: ListenerList<CrossServerEventArguments>] = [:]
    /// At most one per channel.
    var channels: [String: Listener<ChannelArguments>] = [:]

    mutating func removeSpent() {
        self.events = self.events.compactMapValues { list in
            var list = list
            list.removeSpent()
            return list.isEmpty ? nil : list
        }
    }
}

/// Runs the application's listeners of what servers send: events, this server's own among them, and messages on channels of
/// the application.
///
/// Handlers begin on the event loop that brings the message, in the order of one sender's messages. Plain ones end there;
/// asynchronous ones go on beside each other: two servers that ask each other from a handler would otherwise wait for ever.
final class ServerEvents: Sendable {
    typealias Answering = @Sendable (CrossServerEvent, ServerReply?) -> Void

    /// The failure with which an observer answers what all are asked.
    static let observerCode = "OBSERVER"

    let transport: Transport
    let tasks: HandlerTasks
    private let listeners = Mutex(ClusterListeners())
    private let localEvents: Mutex<LocalEvents>
    private let answering = Mutex<Answering?>(nil)

    init(_ transport: Transport) {
        self.transport = transport
        self.tasks = HandlerTasks(maximum: transport.configuration.cluster.maximumRunningHandlers)
        self.localEvents = Mutex(LocalEvents(maximum: transport.configuration.limits.maximumQueuedDeliveries))
    }

    /// Sets who answers this server's own questions.
    func onQuestion(_ answering: @escaping Answering) {
        self.answering.withLock { $0 = answering }
    }

    /// Lets go of all that listens.
    func end() {
        self.changeListeners { $0 = ClusterListeners() }
    }

    func withListeners<Result>(_ body: (ClusterListeners) -> Result) -> Result {
        self.listeners.withLock { body($0) }
    }

    /// What is let go of is destroyed behind the lock: a closure's objects are the application's, and so is what they do
    /// at their end.
    func changeListeners(_ body: (inout ClusterListeners) -> Void) {
        let former = self.listeners.withLock { listeners in
            let former = listeners
            body(&listeners)
            return former
        }
        withExtendedLifetime(former) {}
    }

    func handle(_ event: CrossServerEvent, _ reply: ServerReply?) {
        if self.transport.configuration.cluster.isObserver {
            guard reply?.understandsFailures == true else { return }
            reply?.fail(RequestFailure(code: Self.observerCode, message: "no server"))
            return
        }
        let list = self.listeners.withLock { $0.events[event.event] ?? ListenerList() }
        guard !list.isEmpty else {
            if self.transport.configuration.answersUnknownEvents, reply?.understandsFailures == true {
                reply?.fail(RequestFailure(code: "UNKNOWN_EVENT", message: "no handler for this event"))
            }
            return
        }
        self.run(list.listeners, (event, reply), event: event.event, reply)
    }

    func receivedCustom(_ message: ByteBuffer, on channel: String) {
        guard let listener = self.listeners.withLock({ $0.channels[channel] }) else { return }
        do {
            let payload = self.isJSON(message) ? try Payload(json: message) : try Payload(messagePack: message)
            self.run([listener], (payload, channel), event: channel, nil)
        } catch {
            self.transport.refused("\(error)", on: channel)
        }
    }

    /// A first byte below 128 is a whole number in MessagePack, and nothing may follow it.
    private func isJSON(_ message: ByteBuffer) -> Bool {
        guard message.readableBytes > 1 else { return self.transport.configuration.cluster.encoding == .json }
        return message.readableBytesView.first.map { $0 < 0x80 } ?? false
    }

    private func run<Arguments: Sendable>(
        _ listeners: [Listener<Arguments>],
        _ arguments: Arguments,
        event: String,
        _ reply: ServerReply?
    ) {
        for (index, listener) in listeners.enumerated() where self.claim(listener) {
            switch listener.body {
            case .plain(let body):
                do {
                    try body(arguments)
                } catch {
                    self.failed(error, event, reply)
                }
            case .asynchronous:
                // What comes behind it waits for it, as the listeners of one event run in their order.
                let rest = listeners[index...]
                let executor = LoopExecutor(
                    eventLoop: MultiThreadedEventLoopGroup.currentEventLoop ?? self.transport.eventLoop
                )
                let isStarted = self.tasks.start(on: executor) {
                    for (offset, listener) in rest.enumerated() where offset == 0 || self.claim(listener) {
                        await self.run(listener, arguments, event: event, reply)
                    }
                }
                if !isStarted { self.refuse(event, reply) }
                return
            }
        }
    }

    private func run<Arguments: Sendable>(
        _ listener: Listener<Arguments>,
        _ arguments: Arguments,
        event: String,
        _ reply: ServerReply?
    ) async {
        do {
            switch listener.body {
            case .plain(let body): try body(arguments)
            case .asynchronous(let body): try await body(arguments)
            }
        } catch {
            self.failed(error, event, reply)
        }
    }

    private func claim<Arguments>(_ listener: Listener<Arguments>) -> Bool {
        guard listener.claim() else { return false }
        if listener.isOnce { self.changeListeners { $0.removeSpent() } }
        return true
    }

    private func failed(_ error: any Error, _ event: String, _ reply: ServerReply?) {
        if let failure = error as? RequestFailure {
            reply?.fail(failure)
            guard reply == nil else { return }
        } else {
            reply?.fail(.internalError)
        }
        ClusterCounters.increment(self.transport.counters.handlerFailures)
        self.transport.throttles.handlerFailure.log(
            self.transport.logger,
            level: .error,
            "handler failed",
            metadata: ["event": "\(LogText(event))", "error": "\(LogText(error))"]
        )
    }

    private func refuse(_ event: String, _ reply: ServerReply?) {
        reply?.fail(RequestFailure(code: "OVERLOADED", message: "the server has too much to do"))
        ClusterCounters.increment(self.transport.counters.handlersRefused)
        self.transport.throttles.overload.log(
            self.transport.logger,
            level: .warning,
            "event dropped: too many handlers run",
            metadata: ["event": "\(LogText(event))"]
        )
    }

    // MARK: This server's own events

    /// Takes a place for an event that is handled later, or given up.
    ///
    /// - Throws: ``CrossServerError`` with `overloaded`.
    func reservePlace(for payload: Payload) throws(CrossServerError) {
        try self.localEvents.withLock { events throws(CrossServerError) in try events.reserve(payload) }
    }

    func giveUpPlace(for payload: Payload) {
        self.localEvents.withLock { $0.giveUp(payload) }
    }

    /// This server's own events are handled in a later turn of the loop, so that a handler may send the event that it handles.
    ///
    /// A place must be reserved.
    func handleLocally(_ event: String, _ payload: Payload, _ reply: ServerReply?, isSystem: Bool = false) {
        let item = LocalEvents.Item(
            event: CrossServerEvent(event: event, sender: self.transport.name, payload: payload),
            reply: reply,
            isSystem: isSystem
        )
        guard self.localEvents.withLock({ $0.append(item) }) else { return }
        self.transport.eventLoop.execute { self.handleLocalEvents() }
    }

    private func handleLocalEvents() {
        let end = NIODeadline.now() + LocalEvents.maximumTurn
        for _ in 0..<LocalEvents.maximumPerTurn {
            guard let item = self.localEvents.withLock({ $0.next() }) else { return }
            if item.isSystem {
                self.answering.withLock { $0 }?(item.event, item.reply)
            } else {
                self.handle(item.event, item.reply)
            }
            if NIODeadline.now() >= end { break }
        }
        // A task that is executed would still belong to this turn.
        self.transport.eventLoop.scheduleTask(in: LocalEvents.pause) { self.handleLocalEvents() }
    }
}

extension ServerReply {
    /// An original server would take a failure for an answer.
    fileprivate var understandsFailures: Bool {
        switch self.requester {
        case .local: true
        case .remote(let remote): RequestID(remote.callbackID) != nil
        }
    }
}
