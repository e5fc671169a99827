import Testing

@testable import CrossServerClient

@Suite struct ReconnectPolicyTests {
    private let policy = ReconnectPolicy(
        fastThreshold: 3,
        fastInterval: .seconds(3),
        maximumInterval: .seconds(120)
    )

    @Test(arguments: [
        (1, 3), (2, 3), (3, 3), (4, 6), (5, 12), (6, 24), (7, 48), (8, 96), (9, 120), (10, 120), (100, 120),
        (Int.max, 120),
    ])
    func growsAfterTheFastAttempts(attempt: Int, seconds: Int) {
        #expect(self.policy.delay(attempt: attempt, random: 1) == .seconds(seconds))
        #expect(self.policy.delay(attempt: attempt, random: 0) == .milliseconds(seconds * 500))
    }

    @Test func waitsLongestAfterARefusal() {
        #expect(self.policy.delay(attempt: 1, isRefused: true, random: 1) == .seconds(120))
        #expect(self.policy.delay(attempt: 9, isRefused: true, random: 0) == .seconds(60))
    }

    @Test func whatTheServerAsksComesOnTop() {
        #expect(self.policy.delay(attempt: 1, asked: .seconds(30), random: 1) == .seconds(33))
        #expect(self.policy.delay(attempt: 1, asked: .seconds(30), random: 0) == .milliseconds(31_500))
        #expect(self.policy.delay(attempt: 1, asked: .seconds(999_999), random: 1) == .seconds(3_603))
    }

    @Test func shortensTheFirstWaitToo() {
        #expect(self.policy.delay(attempt: 1, random: 0.5) == .milliseconds(2_250))
    }

    @Test(arguments: [-1.0, 2.0])
    func keepsToItsBounds(random: Double) {
        let delay = self.policy.delay(attempt: 1, random: random)
        #expect(.milliseconds(1_500) <= delay && delay <= .seconds(3))
    }

    @Test func growsFromTheFirstAttemptWithoutFastOnes() {
        let policy = ReconnectPolicy(fastThreshold: 0, fastInterval: .seconds(1), maximumInterval: .seconds(5))
        #expect(
            (1...4).map { policy.delay(attempt: $0, random: 1) } == [
                .seconds(2), .seconds(4), .seconds(5), .seconds(5),
            ]
        )
    }

    @Test func aFastIntervalBeyondTheMaximumIsCut() {
        let policy = ReconnectPolicy(fastThreshold: 3, fastInterval: .seconds(9), maximumInterval: .seconds(5))
        #expect(policy.delay(attempt: 1, random: 1) == .seconds(5))
    }
}
