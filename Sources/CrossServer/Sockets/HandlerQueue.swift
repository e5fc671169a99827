import CrossServerWebSocket
import DequeModule
import NIOCore

/// What a client has sent and its handlers have not seen yet: one thing is handled at a time, in the order of arrival.
///
/// A value without listeners or sockets: ``ClientConnection`` carries out what it says.
struct HandlerQueue {
    enum Inbound {
        case message(WebSocketMessage)
        /// A message whose event was handled, for the listeners of all messages.
        case rawMessage(WebSocketMessage)
        case clientPing
        case pong(ByteBuffer)
        case error(any Error)
        /// The client sends no more: whatever came before is answered now.
        case inputEnded
        case closed(WebSocketClose)

        var bytes: Int {
            switch self {
            case .message(let message), .rawMessage(let message): message.payload.readableBytes
            case .pong(let payload): payload.readableBytes
            case .clientPing, .error, .inputEnded, .closed: 0
            }
        }

        var isClosed: Bool {
            if case .closed = self { true } else { false }
        }

        /// Whether it waits for concurrent handlers, too.
        var isEnd: Bool {
            switch self {
            case .inputEnded, .closed: true
            default: false
            }
        }
    }

    private enum State {
        /// The connection's own listeners have not run yet.
        case opening
        case idle
        /// A plain handler is running further up the stack.
        case stepping
        /// An asynchronous handler has not ended.
        case waiting
    }

    /// A task that runs handlers.
    private struct Running {
        var number: Int
        /// Nil for one that has begun and is not known by its handle yet.
        var task: Task<Void, Never>?
        /// Whether the end of the connection does not cancel it.
        var outlivesConnection: Bool
        /// Of the message that it handles.
        var bytes: Int
    }

    private var state = State.opening
    private var queue: Deque<Inbound> = []
    /// Of messages that wait.
    private(set) var bytes = 0
    /// The task that the queue waits for.
    private var current: Running?
    /// Tasks that run beside the queue, by their numbers.
    private var concurrent: [Int: Running] = [:]
    private var lastNumber = 0
    /// Of the messages that concurrent handlers have.
    private(set) var concurrentBytes = 0
    /// Of all messages in memory: those that wait, and those that handlers have.
    var heldBytes: Int { self.bytes + self.concurrentBytes + (self.current?.bytes ?? 0) }
    /// As many concurrent handlers run as may: the next message waits.
    var isFull = false
    /// Whether the listeners of the connection's beginning have not ended.
    private(set) var isOpening = true
    /// Messages are not taken any more, and those that waited are gone.
    private(set) var isRefusing = false
    private var isCancelled = false
    private var hasConnectionEnded = false

    mutating func append(_ inbound: Inbound) {
        if self.isRefusing, !inbound.isClosed { return }
        self.bytes += inbound.bytes
        self.queue.append(inbound)
    }

    mutating func prepend(_ inbound: Inbound) {
        if self.isRefusing { return }
        self.bytes += inbound.bytes
        self.queue.prepend(inbound)
    }

    /// The next to be handled now, if any. ``finishedStep()`` must follow. The end of the connection comes when all
    /// handlers have ended.
    mutating func next() -> Inbound? {
        guard case .idle = self.state, !self.isFull, let first = self.queue.first else { return nil }
        if first.isEnd, !self.concurrent.isEmpty { return nil }
        self.queue.removeFirst()
        self.bytes -= first.bytes
        self.state = .stepping
        return first
    }

    /// The end of the connection, out of its turn.
    mutating func takeClosed() -> WebSocketClose? {
        guard case .closed(let close)? = self.queue.last else { return nil }
        self.queue.removeLast()
        return close
    }

    /// Begins to handle something that need not wait. ``finishedStep()`` must follow.
    /// - Returns: false when something is before it.
    mutating func begin() -> Bool {
        guard self.isIdle, !self.isFull, !self.isRefusing else { return false }
        self.state = .stepping
        return true
    }

    /// The connection's own listeners run now. ``finishedStep()`` must follow.
    mutating func open() {
        self.state = .stepping
    }

    /// Nothing waits, and nothing is waited for. Concurrent handlers may run.
    var isIdle: Bool {
        if case .idle = self.state { self.queue.isEmpty } else { false }
    }

    /// No handler runs, and nothing waits for one.
    var isDone: Bool { self.isIdle && self.concurrent.isEmpty }

    /// How many tasks run beside the queue.
    var concurrentCount: Int { self.concurrent.count }

    /// What ``next()`` gave was handled, unless a task is still at it.
    mutating func finishedStep() {
        guard case .stepping = self.state else { return }
        self.state = .idle
        self.isOpening = false
    }

    /// The queue waits for a task that begins now.
    ///
    /// - Parameter bytes: of the message that it handles.
    /// - Returns: the task's number.
    mutating func taskStarted(outlivesConnection: Bool, bytes: Int) -> Int {
        self.state = .waiting
        self.lastNumber += 1
        self.current = Running(number: self.lastNumber, outlivesConnection: outlivesConnection, bytes: bytes)
        return self.lastNumber
    }

    /// A task begins for which the queue does not wait.
    ///
    /// - Parameter bytes: of the message that it handles.
    /// - Returns: the task's number.
    mutating func concurrentTaskStarted(outlivesConnection: Bool, bytes: Int) -> Int {
        self.lastNumber += 1
        self.concurrentBytes += bytes
        self.concurrent[self.lastNumber] = Running(
            number: self.lastNumber,
            outlivesConnection: outlivesConnection,
            bytes: bytes
        )
        return self.lastNumber
    }

    /// Remembers the running task; one that has ended already is of no use.
    ///
    /// - Returns: whether the caller must cancel it.
    mutating func setTask(_ task: Task<Void, Never>, _ number: Int) -> Bool {
        let outlivesConnection: Bool
        if let current = self.current, current.number == number {
            outlivesConnection = current.outlivesConnection
            self.current?.task = task
        } else if let running = self.concurrent[number] {
            outlivesConnection = running.outlivesConnection
            self.concurrent[number]?.task = task
        } else {
            return false
        }
        return self.isCancelled || self.hasConnectionEnded && !outlivesConnection
    }

    mutating func taskFinished(_ number: Int) {
        if self.current?.number == number {
            self.current = nil
            self.state = .idle
            self.isOpening = false
        } else if let ended = self.concurrent.removeValue(forKey: number) {
            self.concurrentBytes -= ended.bytes
        }
    }

    func isRunning(_ number: Int) -> Bool {
        self.current?.number == number || self.concurrent[number] != nil
    }

    /// Takes no messages any more, and lets go of those that wait.
    mutating func refuseMessages() {
        self.isRefusing = true
        self.queue.removeAll { !$0.isClosed }
        self.bytes = 0
    }

    /// Nobody is there any more for what handlers do.
    ///
    /// - Returns: the tasks that the caller must cancel: what that calls may come back to this queue.
    mutating func connectionEnded() -> [Task<Void, Never>] {
        self.hasConnectionEnded = true
        return self.tasks { !$0.outlivesConnection }
    }

    /// Nothing that is queued runs any more.
    ///
    /// - Returns: as ``connectionEnded()``.
    mutating func cancel() -> [Task<Void, Never>] {
        self.isCancelled = true
        self.refuseMessages()
        return self.tasks { _ in true }
    }

    private func tasks(where isWanted: (Running) -> Bool) -> [Task<Void, Never>] {
        let running = self.concurrent.values + (self.current.map { [$0] } ?? [])
        return running.compactMap { isWanted($0) ? $0.task : nil }
    }

    func isOver(messages: Int, bytes: Int) -> Bool {
        self.queue.count > messages || self.bytes > bytes
    }
}
