import CrossServerBus

/// The links that can publish and receive, and the choice among them.
///
/// Who published on a link over which it does not hear would not get the replies.
struct LinkSelection<Link: Sendable>: Sendable {
    private struct Candidate: Sendable {
        var number: Int
        var link: Link
        var latency: Duration
    }

    private let strategy: SelectionStrategy
    private var candidates: [Candidate] = []
    private var turn = 0
    private var fastest = 0
    /// State of a linear congruential generator: the choice has to be even, not unpredictable.
    private var random: UInt64

    init(strategy: SelectionStrategy, seed: UInt64) {
        self.strategy = strategy
        self.random = seed
    }

    var links: [Link] { self.candidates.map(\.link) }
    var count: Int { self.candidates.count }
    /// The fastest first.
    var numbersByLatency: [Int] { self.candidates.sorted { $0.latency < $1.latency }.map(\.number) }

    /// - Parameter number: of the link to take if it is there.
    mutating func next(preferring number: Int? = nil) -> Link? {
        if let number, let preferred = self.candidates.first(where: { $0.number == number }) { return preferred.link }
        switch self.candidates.count {
        case 0: return nil
        case 1: return self.candidates[0].link
        case let count:
            if self.strategy == .fastest { return self.candidates[self.fastest].link }
            if self.strategy == .roundRobin {
                self.turn = (self.turn + 1) % count
                return self.candidates[self.turn].link
            }
            self.random = self.random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // The high bits are the good ones.
            return self.candidates[Int((self.random >> 33) % UInt64(count))].link
        }
    }

    /// Until it is measured, a link counts as slow.
    mutating func insert(_ link: Link, number: Int) {
        self.remove(number: number)
        self.candidates.append(Candidate(number: number, link: link, latency: .seconds(86_400)))
        self.findFastest()
    }

    mutating func remove(number: Int) {
        self.candidates.removeAll { $0.number == number }
        self.findFastest()
    }

    mutating func measured(_ latency: Duration, number: Int) {
        guard let index = self.candidates.firstIndex(where: { $0.number == number }) else { return }
        self.candidates[index].latency = latency
        self.findFastest()
    }

    private mutating func findFastest() {
        self.fastest = self.candidates.indices.min { self.candidates[$0].latency < self.candidates[$1].latency } ?? 0
    }
}
