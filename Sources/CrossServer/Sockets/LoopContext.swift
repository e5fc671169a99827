import CrossServerWebSocket
import NIOCore
import Synchronization

/// What a server keeps for one event loop: the connections there, and the way in for other threads.
final class LoopContext: Sendable {
    let eventLoop: any EventLoop
    /// The loop's number, from 0.
    let index: Int
    let executor: LoopExecutor
    let counters: LoopCounters
    private let maximumQueued: Int
    private let backlog: DeliveryBacklog
    private let mailbox = Mutex(Mailbox())
    private let hasMail = Atomic<Bool>(false)
    private let boundConnections: NIOLoopBoundBox<LoopConnections>

    private enum Mail: Sendable {
        /// With the number of connections that it is for.
        case delivery(LocalDelivery, size: Int)
        case action(@Sendable () -> Void)
        /// One that is refused as a delivery is, when too many wait.
        case request(@Sendable () -> Void)

        var isCounted: Bool {
            if case .action = self { false } else { true }
        }
    }

    private struct Mailbox {
        var mail: [Mail] = []
        /// Of what is counted.
        var count = 0
    }

    init(
        eventLoop: any EventLoop,
        index: Int,
        schedule: LoopConnections.Schedule,
        maximumQueued: Int,
        backlog: DeliveryBacklog
    ) {
        self.eventLoop = eventLoop
        self.index = index
        self.executor = LoopExecutor(eventLoop: eventLoop)
        self.maximumQueued = maximumQueued
        self.backlog = backlog
        let counters = LoopCounters()
        self.counters = counters
        self.boundConnections = .makeBoxSendingValue(
            LoopConnections(eventLoop: eventLoop, schedule: schedule, backlog: backlog, counters: counters),
            eventLoop: eventLoop
        )
    }

    /// The connections of the loop. Only on the loop.
    var connections: LoopConnections { self.boundConnections.value }

    /// Hands a message to its connections: at once on the loop, otherwise in the loop's next turn.
    ///
    /// Messages of one sender arrive in the order of the calls, also when the sender changes threads in between.
    ///
    /// - Returns: false when too many messages wait already; the message is not sent then.
    func post(_ delivery: LocalDelivery) -> Bool {
        if self.eventLoop.inEventLoop {
            self.deliverMail()
            self.connections.deliver(delivery)
            return true
        }
        return self.enqueue(delivery)
    }

    /// Runs an action on the loop, after the messages posted before it. Actions are never refused: for what ends something.
    func post(_ action: @escaping @Sendable () -> Void) {
        if self.eventLoop.inEventLoop {
            self.deliverMail()
            action()
        } else {
            _ = self.enqueue(.action(action))
        }
    }

    /// The clients of the loop that are connected, from any thread.
    func sockets() async -> [ClientSocket] {
        await withCheckedContinuation { continuation in
            self.post { continuation.resume(returning: self.connections.all.map(\.socket).filter(\.isOpen)) }
        }
    }

    /// Runs an action on the loop as ``post(_:)`` does, unless too much waits already.
    ///
    /// - Returns: false when it is refused.
    func postIfRoom(_ action: @escaping @Sendable () -> Void) -> Bool {
        if self.takeTurn() {
            action()
            return true
        }
        return self.enqueue(.request(action))
    }

    /// - Returns: whether the caller is on the loop and may do there what it wants to: what was posted before is done.
    func takeTurn() -> Bool {
        guard self.eventLoop.inEventLoop else { return false }
        self.deliverMail()
        return true
    }

    /// Hands a message to one connection: as ``post(_:)``, but without a detour when on the loop.
    func post(_ message: EncodedMessage, to socket: ClientSocket) -> Bool {
        guard self.eventLoop.inEventLoop else {
            return self.enqueue(LocalDelivery(target: .socket(socket), message: message))
        }
        self.deliverMail()
        socket.deliver(message)
        return true
    }

    /// Sends a text message that is for one connection alone: as ``post(_:to:)``, but on the loop without an allocation.
    ///
    /// - Parameter payloadSize: what `writing` appends, in bytes.
    func reply(_ socket: ClientSocket, payloadSize: Int, writing: (inout ByteBuffer) -> Void) {
        guard self.eventLoop.inEventLoop else {
            let message = EncodedMessage(kind: .text, payloadCapacity: payloadSize, writing: writing)
            _ = self.enqueue(LocalDelivery(target: .requester(socket), message: message))
            return
        }
        self.deliverMail()
        socket.connection?.reply(payloadSize: payloadSize, writing: writing)
    }

    private func enqueue(_ delivery: LocalDelivery) -> Bool {
        let size = delivery.size(on: self.counters)
        guard self.enqueue(.delivery(delivery, size: size)) else { return false }
        self.backlog.add(size)
        return true
    }

    private func enqueue(_ mail: Mail) -> Bool {
        let result: (isTaken: Bool, isFirst: Bool) = self.mailbox.withLock { mailbox in
            if mail.isCounted {
                guard mailbox.count < self.maximumQueued else { return (false, false) }
                mailbox.count += 1
            }
            mailbox.mail.append(mail)
            guard mailbox.mail.count == 1 else { return (true, false) }
            self.hasMail.store(true, ordering: .releasing)
            return (true, true)
        }
        if result.isFirst {
            self.eventLoop.execute { self.deliverMail() }
        }
        return result.isTaken
    }

    private func deliverMail() {
        guard self.hasMail.load(ordering: .acquiring) else { return }
        let mail = self.mailbox.withLock { mailbox in
            self.hasMail.store(false, ordering: .releasing)
            defer { mailbox = Mailbox() }
            return mailbox.mail
        }
        for item in mail {
            switch item {
            case .delivery(let delivery, let size):
                self.connections.deliver(delivery)
                self.backlog.add(-size)
            case .action(let action), .request(let action): action()
            }
        }
    }
}

/// What one loop has counted since the start.
final class LoopCounters: Sendable {
    /// Open now.
    let connections = Atomic<Int>(0)
    let messagesReceived = Atomic<Int>(0)
    let messagesSent = Atomic<Int>(0)
    let invalidMessages = Atomic<Int>(0)
    let messagesOverRate = Atomic<Int>(0)
    let messagesDropped = Atomic<Int>(0)
    let handlerFailures = Atomic<Int>(0)
    let outstandingRequests = Atomic<Int>(0)
    let repliesIgnored = Atomic<Int>(0)

    /// Only the loop writes; others read. That needs no locked instruction.
    static func increment(_ counter: borrowing Atomic<Int>) {
        self.add(1, to: counter)
    }

    /// As ``increment(_:)``.
    static func add(_ amount: Int, to counter: borrowing Atomic<Int>) {
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
