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
        /// Opened when the last handler has ended.
        var gates: [Gate] = []
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

    /// Waits until none is running. When the time is over, those that run, and those that are started from then on, are
    /// cancelled, and waited for no more.
    func ended(within limit: Duration) async {
        let gate = Gate()
        let isIdle = self.state.withLock { state in
            if !state.running.isEmpty { state.gates.append(gate) }
            return state.running.isEmpty
        }
        if isIdle { return }
        await gate.passed(within: limit)
        let tasks = self.state.withLock { state in
            state.gates.removeAll { $0 === gate }
            if !state.running.isEmpty { state.isCancelled = true }
            return state.running.values.compactMap { $0 }
        }
        for task in tasks { task.cancel() }
    }

    private func ended(_ number: Int) {
        let gates = self.state.withLock { state in
            state.running[number] = nil
            return state.running.isEmpty ? state.gates : []
        }
        for gate in gates { gate.open() }
    }
}
