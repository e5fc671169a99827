import Synchronization

/// Hands reports to closures and to asynchronous sequences.
package final class Reports<Report: Sendable>: Sendable {
    private struct State: Sendable {
        var handlers: [@Sendable (Report) -> Void] = []
        var streams: [Int: AsyncStream<Report>.Continuation] = [:]
        var next = 0
        var isFinished = false
    }

    private let state = Mutex(State())
    /// Of one sequence. When nobody takes them, the oldest are dropped.
    private let maximumWaiting: Int

    package init(maximumWaiting: Int) {
        self.maximumWaiting = maximumWaiting
    }

    package func add(_ handler: @escaping @Sendable (Report) -> Void) {
        self.state.withLock { $0.handlers.append(handler) }
    }

    package func stream() -> AsyncStream<Report> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Report.self,
            bufferingPolicy: .bufferingNewest(self.maximumWaiting)
        )
        let number: Int? = self.state.withLock { state in
            if state.isFinished { return nil }
            state.next += 1
            state.streams[state.next] = continuation
            return state.next
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            // Not under the lock: this may be called while it is held.
            _ = self?.state.withLock { $0.streams.removeValue(forKey: number) }
        }
        return stream
    }

    package func emit(_ report: Report) {
        let (handlers, streams) = self.state.withLock { ($0.handlers, Array($0.streams.values)) }
        for handler in handlers { handler(report) }
        for stream in streams { stream.yield(report) }
    }

    package func finish() {
        // The handlers are let go of behind the lock: what their closures hold is the application's.
        let former = self.state.withLock { state in
            let former = state
            state = State()
            state.isFinished = true
            return former
        }
        for stream in former.streams.values { stream.finish() }
    }
}
