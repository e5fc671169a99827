import Synchronization

/// Lets one task pass when somebody opens it, before or after the task comes.
final class Gate: Sendable {
    private enum State: Sendable {
        case closed
        case waited(CheckedContinuation<Void, Never>)
        case open
    }

    private let state = Mutex(State.closed)

    func open() {
        let waiter: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            defer { state = .open }
            if case .waited(let waiter) = state { return waiter }
            return nil
        }
        waiter?.resume()
    }

    /// Waits until it is open. To be called once.
    func passed() async {
        await withCheckedContinuation { continuation in
            let isOpen = self.state.withLock { state in
                if case .open = state { return true }
                state = .waited(continuation)
                return false
            }
            if isOpen { continuation.resume() }
        }
    }

    /// Waits until it is open, or until the time is over, also in a task that is cancelled.
    func passed(within limit: Duration) async {
        // Detached, so that the deadline holds in a cancelled task too; and on no event loop, since one may be blocked.
        let timer = Task.detached {
            // Cancelled when the gate was opened before: opening it again does nothing.
            try? await Task.sleep(for: limit)
            self.open()
        }
        await self.passed()
        timer.cancel()
        await timer.value
    }
}
