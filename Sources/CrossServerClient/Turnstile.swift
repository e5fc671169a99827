import DequeModule
import Synchronization

/// Lets the calls of one listener through one at a time, in the order in which they came. How many can wait is bounded by
/// ``WebSocketConnector/Configuration-swift.struct/maximumRunningListeners``.
final class Turnstile: Sendable {
    private struct State {
        var isTaken = false
        var waiting: Deque<CheckedContinuation<Void, Never>> = []
    }

    private let state = Mutex(State())

    func pass(_ body: () async throws -> Void) async rethrows {
        await self.enter()
        defer { self.leave() }
        try await body()
    }

    private func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = self.state.withLock { state in
                if state.isTaken {
                    state.waiting.append(continuation)
                    return false
                }
                state.isTaken = true
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    private func leave() {
        self.state.withLock { state in
            let next = state.waiting.popFirst()
            if next == nil { state.isTaken = false }
            return next
        }?.resume()
    }
}

extension Listener {
    /// An asynchronous listener.
    ///
    /// - Parameter oneAtATime: whether a call waits for the end of the one before.
    convenience init(
        oneAtATime: Bool,
        tag: String?,
        _ body: @escaping @Sendable (Arguments) async throws -> Void
    ) where Arguments: Sendable {
        guard oneAtATime else {
            self.init(.asynchronous(body), tag: tag, once: false)
            return
        }
        let turnstile = Turnstile()
        self.init(
            .asynchronous { arguments in try await turnstile.pass { try await body(arguments) } },
            tag: tag,
            once: false
        )
    }
}
