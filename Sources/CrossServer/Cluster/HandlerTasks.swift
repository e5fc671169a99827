import NIOCore
import Synchronization

/// Asynchronous handlers that belong to no client: bounded in number, and waited for when the server stops.
final class HandlerTasks: Sendable {
    private let maximum: Int
    private let state = Mutex(State())

    private struct State {
        var lastNumber = 0
        /// Nil for a task that has begun and is not known by its handle yet.
        var running: [Int: Task<Void, Never>?] = [:]
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isCancelled = false
    }

    init(maximum: Int) {
        self.maximum = maximum
    }

    /// Starts a handler here and now; where it waits, it goes on with the executor.
    ///
    /// - Returns: false when too many run already.
    func start(on executor: any TaskExecutor, _ operation: @escaping @Sendable () async -> Void) -> Bool {
        let number: Int? = self.state.withLock { state in
            guard state.running.count < self.maximum else { return nil }
            state.lastNumber += 1
            state.running[state.lastNumber] = .some(nil)
            return state.lastNumber
        }
        guard let number else { return false }
        let body: @Sendable () async -> Void = {
            await operation()
            self.ended(number)
        }
        let task: Task<Void, Never>
        if #available(macOS 26, iOS 26, tvOS 26, watchOS 26, visionOS 26, *) {
            task = Task.immediate(executorPreference: executor, operation: body)
        } else {
            task = Task(executorPreference: executor, operation: body)
        }
        let isCancelled = self.state.withLock { state in
            // A handler that never waited has ended already.
            if state.running[number] != nil { state.running[number] = .some(task) }
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
        return true
    }

    /// Waits until none is running.
    func ended() async {
        await withCheckedContinuation { continuation in
            let isIdle = self.state.withLock { state in
                if !state.running.isEmpty { state.waiters.append(continuation) }
                return state.running.isEmpty
            }
            if isIdle { continuation.resume() }
        }
    }

    /// Cancels those that run, and those that are started from now on, and waits for none of them any more.
    func cancel() {
        let (tasks, waiters) = self.state.withLock { state in
            state.isCancelled = true
            defer { state.waiters = [] }
            return (state.running.values.compactMap { $0 }, state.waiters)
        }
        for task in tasks { task.cancel() }
        for waiter in waiters { waiter.resume() }
    }

    private func ended(_ number: Int) {
        let waiters: [CheckedContinuation<Void, Never>] = self.state.withLock { state in
            state.running[number] = nil
            guard state.running.isEmpty else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
