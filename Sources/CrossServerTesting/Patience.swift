/// Says when a wait has lasted too long: when its time is over, but not before a hundred looks, so that a machine that
/// stood still meanwhile fails no test.
struct Patience {
    private let end: ContinuousClock.Instant
    private var looks = 0

    init(_ limit: Duration) {
        self.end = ContinuousClock().now + limit
    }

    /// To be asked after each look that was in vain.
    mutating func isOver() -> Bool {
        self.looks += 1
        return self.looks >= 100 && ContinuousClock().now >= self.end
    }
}
