import DequeModule
import Synchronization

/// What has happened on the event loop and waits for the listeners, which `run()` starts in this order.
///
/// The event loop reads less, or nothing, when the queue is over its limits, and is told when half of it is done. Of what
/// is no message twice the limit is kept: only attempts to connect, hours of them, can get there.
final class OccurrenceQueue: Sendable {
    enum Level {
        case free
        /// Over the limits: no more should be read, unless a reply is awaited.
        case over
        /// ``readAhead`` times over the limits: no more may be read.
        case full
    }

    private struct State {
        var occurrences: Deque<ClientOccurrence> = []
        /// Of messages that wait, and of those that listeners work on.
        var bytes = 0
        /// Occurrences that are no messages.
        var others = 0
        /// Asynchronous listeners that have started and not ended.
        var running = 0
        var isFinished = false
        var isOver = false
        var consumer: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    private let maximumCount: Int
    private let maximumBytes: Int
    private let maximumRunning: Int

    /// How many times the limits may be read while a reply is awaited, which comes behind what nobody has handled yet.
    static let readAhead = 4

    init(maximumCount: Int, maximumBytes: Int, maximumRunning: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
        self.maximumRunning = maximumRunning
    }

    func append(_ occurrence: ClientOccurrence) -> Level {
        let (level, consumer) = self.state.withLock { state in
            let isLeftOut =
                state.isFinished || state.isOver && occurrence.isExpendable
                || !occurrence.isMessage && state.others >= 2 * self.maximumCount
            if isLeftOut { return (self.level(of: state), CheckedContinuation<Void, Never>?.none) }
            state.occurrences.append(occurrence)
            state.bytes += occurrence.bytes
            if !occurrence.isMessage { state.others += 1 }
            if self.isOver(state, times: 1) { state.isOver = true }
            return (self.level(of: state), state.consumer.take())
        }
        consumer?.resume()
        return level
    }

    var level: Level { self.state.withLock { self.level(of: $0) } }

    private func level(of state: State) -> Level {
        guard state.isOver else { return .free }
        return self.isOver(state, times: Self.readAhead) ? .full : .over
    }

    private func isOver(_ state: State, times: Int) -> Bool {
        state.occurrences.count > times * self.maximumCount || state.bytes > times * self.maximumBytes
    }

    /// What was appended is still handled; then ``next(onHalfEmpty:)`` returns nil.
    func finish() {
        self.state.withLock { state in
            state.isFinished = true
            return state.consumer.take()
        }?.resume()
    }

    /// Drops the messages that were not handled yet.
    func discardMessages() {
        self.state.withLock { state in
            state.bytes -= state.occurrences.reduce(0) { $0 + $1.bytes }
            state.occurrences.removeAll { $0.isMessage }
        }
    }

    /// A listener has started that keeps a message of so many bytes.
    func listenerStarted(bytes: Int) {
        self.state.withLock { state in
            state.running += 1
            state.bytes += bytes
        }
    }

    /// - Returns: whether half of what was over the limits is done.
    func listenerEnded(bytes: Int) -> Bool {
        let (isHalfEmpty, consumer) = self.state.withLock { state in
            state.running -= 1
            state.bytes -= bytes
            return (self.becomesHalfEmpty(&state), state.consumer.take())
        }
        consumer?.resume()
        return isHalfEmpty
    }

    private func becomesHalfEmpty(_ state: inout State) -> Bool {
        guard state.isOver, state.occurrences.count <= self.maximumCount / 2, state.bytes <= self.maximumBytes / 2
        else { return false }
        state.isOver = false
        return true
    }

    /// The next occurrence, as soon as another listener may start; nil when there will be none. Only one caller at a
    /// time.
    func next(onHalfEmpty: () -> Void) async -> ClientOccurrence? {
        while true {
            let (occurrence, isDone, isHalfEmpty) = self.state.withLock { state in
                guard state.running < self.maximumRunning, let occurrence = state.occurrences.popFirst() else {
                    return (ClientOccurrence?.none, state.isFinished && state.occurrences.isEmpty, false)
                }
                state.bytes -= occurrence.bytes
                if !occurrence.isMessage { state.others -= 1 }
                return (occurrence, false, self.becomesHalfEmpty(&state))
            }
            if isHalfEmpty { onHalfEmpty() }
            if let occurrence { return occurrence }
            if isDone { return nil }
            await withCheckedContinuation { continuation in
                let isReady = self.state.withLock { state in
                    let isReady =
                        state.occurrences.isEmpty ? state.isFinished : state.running < self.maximumRunning
                    if !isReady { state.consumer = continuation }
                    return isReady
                }
                if isReady { continuation.resume() }
            }
        }
    }
}
