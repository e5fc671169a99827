import CrossServer
import NIOCore
import Synchronization

/// Asks the other server, with so many requests under way at any time.
final class RequestLoad: Sendable {
    private let adapter: WebSocketCrossServerAdapter
    private let inFlight: Int
    private let duration: Duration
    private let payload: Payload = ["text": "forty bytes or so of what one may ask", "number": 7]
    private let latencies = Mutex<[Duration]>([])
    private let clock = ContinuousClock()

    init(_ adapter: WebSocketCrossServerAdapter, inFlight: Int, seconds: Double) {
        self.adapter = adapter
        self.inFlight = inFlight
        self.duration = .seconds(seconds)
    }

    /// As the original is used: a closure for each reply.
    func runWithCallbacks() async -> String {
        let start = self.clock.now
        await withCheckedContinuation { continuation in
            let remaining = Remaining(self.inFlight) { continuation.resume() }
            for _ in 0..<self.inFlight { self.ask(until: start + self.duration, remaining) }
        }
        return self.report(self.clock.now - start)
    }

    private func ask(until end: ContinuousClock.Instant, _ remaining: Remaining) {
        let asked = self.clock.now
        do {
            try self.adapter.emitCrossServer("echo", self.payload, to: .server("answering")) { response in
                guard case .reply = response else { fatalError("no reply: \(response)") }
                let now = self.clock.now
                self.latencies.withLock { $0.append(now - asked) }
                if now < end { self.ask(until: end, remaining) } else { remaining.ended() }
            }
        } catch {
            fatalError("not sent: \(error)")
        }
    }

    func runWithTasks() async throws -> String {
        let start = self.clock.now
        try await withThrowingTaskGroup { group in
            for _ in 0..<self.inFlight {
                group.addTask { try await self.askAndWait(until: start + self.duration) }
            }
            try await group.waitForAll()
        }
        return self.report(self.clock.now - start)
    }

    private func askAndWait(until end: ContinuousClock.Instant) async throws {
        var asked = self.clock.now
        while asked < end {
            let replies = try await self.adapter.emitCrossServer(
                "echo",
                self.payload,
                to: .server("answering"),
                timeout: .seconds(5)
            )
            guard replies.isComplete else { fatalError("no reply: \(replies.missing)") }
            let now = self.clock.now
            let latency = now - asked
            self.latencies.withLock { $0.append(latency) }
            asked = now
        }
    }

    private func report(_ elapsed: Duration) -> String {
        let sorted = self.latencies.withLock { $0.sorted() }
        func milliseconds(_ part: Double) -> Double { sorted[Int(Double(sorted.count - 1) * part)] / .milliseconds(1) }
        return """
            {"per_s": \(Double(sorted.count) / (elapsed / .seconds(1))), \
            "p50_ms": \(milliseconds(0.5)), "p99_ms": \(milliseconds(0.99))}
            """
    }
}

/// Tells when the last of several has ended.
private final class Remaining: Sendable {
    private let count: Atomic<Int>
    private let body: @Sendable () -> Void

    init(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        self.count = Atomic(count)
        self.body = body
    }

    func ended() {
        if self.count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { self.body() }
    }
}
