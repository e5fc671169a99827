import CCrossServerMemory
import CrossServerWebSocket
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Closes the connections that hold most when all together hold more than the budget, and returns to the system what they have
/// freed. Used from any thread.
final class MemoryRelief: Sendable {
    let budget: MemoryBudget
    /// Connections that were closed.
    let closed = Atomic<Int>(0)
    /// How often memory was returned to the system.
    let returned = Atomic<Int>(0)
    private let loops: LoopTable
    private let logger: Logger
    private let throttle = LogThrottle()
    private let state = Mutex(State())

    private struct State {
        var isRunning = false
        /// What the loops have told so far, and how many have not yet.
        var holders: [Holder] = []
        var awaited = 0
        var lastEnd = NIODeadline.uptimeNanoseconds(0)
        /// The most that was held since memory was returned.
        var peak = 0
    }

    struct Holder: Sendable {
        var bytes: Int
        var socket: ClientSocket
    }

    /// Each event loop names so many at once.
    private static let maximumHolders = 1_024
    /// What was closed has given its memory back after that time, or soon will.
    private static let pause = TimeAmount.milliseconds(20)
    private static let reason = "server is out of memory"

    init(budget: MemoryBudget, loops: LoopTable, logger: Logger) {
        self.budget = budget
        self.loops = loops
        self.logger = logger
    }

    /// Returns to the system what was freed since most was held, if that is a sixteenth of the budget: glibc's allocator would
    /// keep it. To be called now and then.
    func returnMemory() {
        let used = self.budget.used
        let isDue = self.state.withLock { state in
            state.peak = max(state.peak, used)
            guard state.peak - used >= max(self.budget.limit / 16, 1) else { return false }
            state.peak = used
            return true
        }
        guard isDue else { return }
        self.returned.add(1, ordering: .relaxed)
        // Not on an event loop: it looks through all that is free.
        NIOThreadPool.singleton.submit { _ in CCrossServerMemory_trim() }
    }

    /// Asks the event loops who holds most, and closes those until an eighth of the budget is free.
    func begin() {
        let loops = self.loops.all
        let isFirst = self.state.withLock { state in
            guard !state.isRunning, NIODeadline.now() - state.lastEnd >= Self.pause else { return false }
            state.isRunning = true
            state.awaited = loops.count
            return true
        }
        guard isFirst else { return }
        self.returnMemory()
        for loop in loops {
            loop.post { self.report(loop.connections.largestHolders(Self.maximumHolders)) }
        }
    }

    private func report(_ holders: [Holder]) {
        let all = self.state.withLock { state -> [Holder]? in
            state.holders += holders
            state.awaited -= 1
            guard state.awaited == 0 else { return nil }
            defer {
                state.isRunning = false
                state.holders = []
                state.lastEnd = .now()
            }
            return state.holders
        }
        guard let all else { return }
        let chosen = Self.choose(all, excess: self.budget.used - self.budget.limit / 8 * 7)
        guard !chosen.isEmpty else { return }
        self.closed.add(chosen.count, ordering: .relaxed)
        self.throttle.log(
            self.logger,
            level: .warning,
            "memory budget exceeded: the largest holders are closed",
            metadata: ["clients": "\(chosen.count)", "limit": "\(self.budget.limit)"]
        )
        for holder in chosen {
            holder.socket.onConnection { $0.shed(.tryAgainLater, reason: Self.reason) }
        }
    }

    /// The largest, until they hold the excess together.
    static func choose(_ holders: [Holder], excess: Int) -> [Holder] {
        var excess = excess
        var chosen: [Holder] = []
        for holder in holders.sorted(by: { $0.bytes > $1.bytes }) {
            if excess <= 0 || holder.bytes <= 0 { break }
            excess -= holder.bytes
            chosen.append(holder)
        }
        return chosen
    }
}
