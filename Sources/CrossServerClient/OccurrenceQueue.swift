import DequeModule
import Synchronization

/// What has happened on the event loop and waits for the listeners, which run one after the other in `run()`.
///
/// The event loop stops reading when the queue is over its limits, and is told when half of it is done. Beyond twice
/// the limit nothing is taken any more but the opening and end of connections: only attempts to connect, hours of them,
/// can get there.
final class OccurrenceQueue: Sendable {
    private struct State {
        var occurrences: Deque<ClientOccurrence> = []
        var bytes = 0
        var isFinished = false
        var isOver = false
        var consumer: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    private let maximumCount: Int
    private let maximumBytes: Int

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    /// - Returns: whether the queue is over its limits now.
    func append(_ occurrence: ClientOccurrence) -> Bool {
        let (isOver, consumer) = self.state.withLock { state in
            if state.isFinished || (state.isOver && occurrence.isExpendable)
                || state.occurrences.count >= 2 * self.maximumCount && !occurrence.isMessage
            {
                return (state.isOver, CheckedContinuation<Void, Never>?.none)
            }
            state.occurrences.append(occurrence)
            state.bytes += occurrence.bytes
            if state.occurrences.count > self.maximumCount || state.bytes > self.maximumBytes { state.isOver = true }
            return (state.isOver, state.consumer.take())
        }
        consumer?.resume()
        return isOver
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
            state.occurrences.removeAll { $0.isMessage }
            state.bytes = 0
        }
    }

    /// The next occurrence; nil when there will be none. Only one caller at a time.
    func next(onHalfEmpty: () -> Void) async -> ClientOccurrence? {
        while true {
            let (occurrence, isFinished, isHalfEmpty) = self.state.withLock { state in
                let occurrence = state.occurrences.popFirst()
                state.bytes -= occurrence?.bytes ?? 0
                let isHalfEmpty =
                    state.isOver && state.occurrences.count <= self.maximumCount / 2
                    && state.bytes <= self.maximumBytes / 2
                if isHalfEmpty { state.isOver = false }
                return (occurrence, state.isFinished, isHalfEmpty)
            }
            if isHalfEmpty { onHalfEmpty() }
            if let occurrence { return occurrence }
            if isFinished { return nil }
            await withCheckedContinuation { continuation in
                let isReady = self.state.withLock { state in
                    if !state.occurrences.isEmpty || state.isFinished { return true }
                    state.consumer = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        }
    }
}
