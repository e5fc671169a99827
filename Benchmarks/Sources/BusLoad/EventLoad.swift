import CrossServer
import CrossServerRedis

/// Sends what nobody answers, as fast as the bus takes it: events for the other server, or messages of a channel that
/// nobody has subscribed.
struct EventLoad {
    private let adapter: WebSocketCrossServerAdapter
    private let bus: RedisBus
    private let duration: Duration
    private let isHeard: Bool
    private let payload: Payload = ["text": "forty bytes or so of what one may tell"]

    init(_ adapter: WebSocketCrossServerAdapter, _ bus: RedisBus, seconds: Double, isHeard: Bool) {
        self.adapter = adapter
        self.bus = bus
        self.duration = .seconds(seconds)
        self.isHeard = isHeard
    }

    func run() async throws -> String {
        let clock = ContinuousClock()
        let heardBefore = self.isHeard ? try await self.heard() : 0
        let before = self.bus.statistics
        let start = clock.now
        while clock.now - start < self.duration {
            try await self.retrying { for _ in 0..<256 { try self.send() } }
        }
        let sent = self.bus.statistics
        let elapsed = (clock.now - start) / .seconds(1)
        // Whatever waits is taken before the question.
        let heard = self.isHeard ? try await self.heard() - heardBefore : 0
        let all = (clock.now - start) / .seconds(1)
        return """
            {"published_per_s": \(Double(sent.published - before.published) / elapsed), \
            "received_per_s": \(Double(heard) / all), "published": \(self.bus.statistics.published - before.published), \
            "received": \(heard)}
            """
    }

    private func retrying<Result>(_ body: () async throws -> Result) async throws -> Result {
        while true {
            do {
                return try await body()
            } catch let error as CrossServerError where [.overloaded, .busUnavailable].contains(error.code) {
                try await Task.sleep(for: .microseconds(500))
            }
        }
    }

    private func send() throws {
        if self.isHeard {
            try self.adapter.emitCrossServer("note", self.payload, to: .server("answering"))
        } else {
            try self.adapter.publishMessage(self.payload, toChannel: "nobody")
        }
    }

    private func heard() async throws -> Int {
        // A server that reads too slowly is cut off by Redis, with what waited for it; it is back soon.
        for _ in 0..<100 {
            let replies = try await self.retrying {
                try await self.adapter.emitCrossServer("count", to: .server("answering"), timeout: .seconds(10))
            }
            if let count = replies.replies["answering"].flatMap({ Int($0.json) }) { return count }
            try await Task.sleep(for: .milliseconds(50))
        }
        fatalError("the other server does not answer")
    }
}
