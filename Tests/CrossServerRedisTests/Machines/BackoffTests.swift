import Testing

@testable import CrossServerRedis

@Suite struct BackoffTests {
    private static let backoff = Backoff(RedisBus.Configuration())

    @Test func growsUpToTheMaximum() {
        var backoff = Self.backoff
        #expect(backoff.delay(after: .unreachable, lasted: nil, random: 1) == .milliseconds(50))
        #expect(backoff.delay(after: .unreachable, lasted: nil, random: 1) == .milliseconds(50) * 1.03)
        for _ in 0..<1_000 { _ = backoff.delay(after: .unreachable, lasted: nil, random: 1) }
        #expect(backoff.delay(after: .unreachable, lasted: nil, random: 1) == .milliseconds(500))
        #expect(backoff.delay(after: .unreachable, lasted: nil, random: 0) == .milliseconds(250))
    }

    @Test(arguments: [(0, 25), (0.5, 37.5), (1, 50), (7, 50), (-1, 25)])
    func isShortenedByUpToAHalf(random: Double, milliseconds: Double) {
        var backoff = Self.backoff
        #expect(backoff.delay(after: .lost, lasted: nil, random: random) == .milliseconds(milliseconds))
    }

    @Test func onlyAConnectionThatLastedStartsAnew() {
        var backoff = Self.backoff
        _ = backoff.delay(after: .unreachable, lasted: nil, random: 1)
        #expect(backoff.delay(after: .lost, lasted: .milliseconds(499), random: 1) == .milliseconds(50) * 1.03)
        #expect(backoff.delay(after: .lost, lasted: .milliseconds(500), random: 1) == .milliseconds(50))
    }

    @Test func aRefusedPasswordWaitsLong() {
        var backoff = Self.backoff
        #expect(backoff.delay(after: .authentication, lasted: nil, random: 1) == .seconds(5))
        #expect(backoff.delay(after: .authentication, lasted: nil, random: 0) == .seconds(2.5))
    }

    @Test(arguments: [
        (RedisFailure.Kind.unreachable, nil as Duration?, true), (.timedOut, nil, true), (.notReady, nil, true),
        (.wrongRole, nil, true), (.lost, .seconds(1), true), (.lost, .milliseconds(1), false),
        (.authentication, nil, false), (.protocolViolation, nil, false), (.refused, nil, false),
    ])
    func whoseWaitEndsWhenAnotherConnectionIsMade(kind: RedisFailure.Kind, lasted: Duration?, isCutShort: Bool) {
        #expect(Self.backoff.isCutShort(after: kind, lasted: lasted) == isCutShort)
    }

    /// How long after the end of an outage both of two servers hear again, in the mean over outages of about that length.
    /// The original's Redis client waits 50 ms longer with each attempt, up to 2 s; all its connections keep step.
    @Test(arguments: [
        (200, 500), (500, 1_000), (950, 1_050), (1_000, 2_000), (2_000, 4_000), (5_000, 10_000), (20_000, 60_000),
    ])
    func isNoWorseThanTheOriginal(shortest: Double, longest: Double) {
        var random = Numbers(state: 1)
        var ours = 0.0
        var original = 0.0
        for number in 0..<400 {
            let outage = shortest + (longest - shortest) * Double(number) / 400
            let servers = (0..<2).map { _ in
                // The first of the two connections brings the other.
                (0..<2).map { _ in Self.lateness(after: outage, &random) }.min() ?? 0
            }
            ours += servers.max() ?? 0
            var time = 0.0
            var attempt = 0.0
            while time < outage {
                attempt += 1
                time += min(50 * attempt, 2_000)
            }
            original += time - outage
        }
        #expect(ours <= original, "\(ours / 400) ms against \(original / 400) ms")
    }

    private static func lateness(after outage: Double, _ random: inout Numbers) -> Double {
        var backoff = Self.backoff
        var time = 0.0
        var lasted: Duration? = .seconds(3_600)
        while time < outage {
            time += backoff.delay(after: .unreachable, lasted: lasted, random: random.next()) / .milliseconds(1)
            lasted = nil
        }
        return time - outage
    }

    /// The same in each run.
    private struct Numbers {
        var state: UInt64

        mutating func next() -> Double {
            self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(self.state >> 11) / Double(1 << 53)
        }
    }
}
