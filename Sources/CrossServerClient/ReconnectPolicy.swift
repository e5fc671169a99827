/// How long to wait before an attempt to connect again.
///
/// The first attempts come at a fast interval; from then on the wait doubles with each, up to a maximum. Every wait,
/// from the first one on, is shortened by a random share of up to one half, so that the clients of a server that went
/// away do not all come back at the same moment.
struct ReconnectPolicy: Equatable {
    var fastThreshold: Int
    var fastInterval: Duration
    var maximumInterval: Duration

    /// A connection that has lasted this long has shown that the server is well. The wait before it would not do: at the
    /// fast interval a server that breaks down under those who come back would see all of them every few seconds.
    static let holdTime = Duration.seconds(30)
    /// The longest time that a server can ask for: a mistake must not keep clients away for days.
    static let maximumAsked = Duration.seconds(3_600)

    /// - Parameters:
    ///   - attempt: from 1.
    ///   - isRefused: whether the server has refused the client: the wait is the longest.
    ///   - asked: by the server (Retry-After). The ordinary wait comes on top, so that not all come at once.
    ///   - random: 0 to 1; 1 gives the longest wait.
    func delay(attempt: Int, isRefused: Bool = false, asked: Duration = .zero, random: Double) -> Duration {
        let doublings = min(max(attempt - self.fastThreshold, 0), 62)
        var base = isRefused ? self.maximumInterval : min(self.fastInterval, self.maximumInterval)
        for _ in 0..<doublings where base < self.maximumInterval {
            base = min(base * 2, self.maximumInterval)
        }
        return min(asked, Self.maximumAsked) + base * (0.5 + 0.5 * min(max(random, 0), 1))
    }
}
