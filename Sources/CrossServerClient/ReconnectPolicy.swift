/// How long to wait before an attempt to connect again.
///
/// The first attempts come at a fast interval; from then on the wait doubles with each, up to a maximum. Every wait,
/// from the first one on, is shortened by a random share of up to one half, so that the clients of a server that went
/// away do not all come back at the same moment.
struct ReconnectPolicy: Equatable {
    var fastThreshold: Int
    var fastInterval: Duration
    var maximumInterval: Duration

    /// - Parameters:
    ///   - attempt: from 1.
    ///   - random: 0 to 1; 1 gives the longest wait.
    func delay(attempt: Int, random: Double) -> Duration {
        let doublings = min(max(attempt - self.fastThreshold, 0), 62)
        var base = min(self.fastInterval, self.maximumInterval)
        for _ in 0..<doublings where base < self.maximumInterval {
            base = min(base * 2, self.maximumInterval)
        }
        return base * (0.5 + 0.5 * min(max(random, 0), 1))
    }
}
