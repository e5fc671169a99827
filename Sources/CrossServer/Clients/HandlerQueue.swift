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

    private var state = State.opening
    private var queue: Deque<Inbound> = []
    /// Of messages that wait.
    private(set) var bytes = 0
    private var task: Task<Void, Never>?
    private var isCancelled = false

    mutating func append(_ inbound: Inbound) {
        if self.isCancelled, !inbound.isClosed { return }
        self.bytes += inbound.bytes
        self.queue.append(inbound)
    }

    mutating func prepend(_ inbound: Inbound) {
        self.bytes += inbound.bytes
        self.queue.prepend(inbound)
    }

    /// The next to be handled now, if any. ``finishedStep()`` must follow.
    mutating func next() -> Inbound? {
        guard case .idle = self.state, let inbound = self.queue.popFirst() else { return nil }
        self.bytes -= inbound.bytes
        self.state = .stepping
        return inbound
    }

    /// Begins to handle something that need not wait. ``finishedStep()`` must follow.
    /// - Returns: false when something is before it.
    mutating func begin() -> Bool {
        guard self.isIdle, !self.isCancelled else { return false }
        self.state = .stepping
        return true
    }

    /// The connection's own listeners run now. ``finishedStep()`` must follow.
    mutating func open() {
        self.state = .stepping
    }

    var isIdle: Bool {
        if case .idle = self.state { self.queue.isEmpty } else { false }
    }

    /// What ``next()`` gave was handled, unless a task is still at it.
    mutating func finishedStep() {
        if case .stepping = self.state { self.state = .idle }
    }

    mutating func taskStarted() {
        self.state = .waiting
    }

    /// Remembers the running task; one that has ended already is of no use.
    ///
    /// - Returns: whether the caller must cancel it.
    mutating func setTask(_ task: Task<Void, Never>) -> Bool {
        guard case .waiting = self.state else { return false }
        self.task = task
        return self.isCancelled
    }

    mutating func taskFinished() {
        self.state = .idle
        self.task = nil
    }

    /// - Returns: the task that the caller must cancel: what that calls may come back to this queue.
    mutating func cancel() -> Task<Void, Never>? {
        self.isCancelled = true
        self.queue.removeAll { !$0.isClosed }
        self.bytes = 0
        return self.task
    }

    func isOver(messages: Int, bytes: Int) -> Bool {
        self.queue.count > messages || self.bytes > bytes
    }
}
