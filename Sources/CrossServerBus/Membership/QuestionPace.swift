import NIOCore

/// How many servers are asked for a proof of life from one tick to the next.
///
/// Of many servers that start at once each has to ask all others, and to answer them, beside all heartbeats. When the machine or
/// Redis falls behind with that, answers come too late to count, are asked for anew, and so it never ends. Hence a server asks
/// few at first, twice as many from tick to tick while its own probes come back at once, and half as many while they do not.
struct QuestionPace: Sendable {
    static var first: Int { 8 }
    static var most: Int { 256 }
    /// A probe that takes longer says that something falls behind.
    static var slow: TimeAmount { .milliseconds(100) }
    /// Who was asked now would answer too late: ``Membership/Configuration/answerWithin``.
    static var tooSlow: TimeAmount { .seconds(1) }

    private var allowed = Self.first
    private var taken = 0
    private var isNeeded = false

    var isUsedUp: Bool { self.taken >= self.allowed }

    /// - Returns: whether somebody may be asked.
    mutating func take() -> Bool {
        guard !self.isUsedUp else { return false }
        self.taken += 1
        return true
    }

    /// A tick later.
    ///
    /// - Parameters:
    ///   - isNeeded: whether somebody is to be asked, or has yet to answer.
    ///   - lag: of the last probe; nil when there is none.
    mutating func next(isNeeded: Bool, lag: (time: TimeAmount, isOver: Bool)?) {
        defer { self.isNeeded = isNeeded }
        self.taken = 0
        guard isNeeded else {
            self.allowed = Self.first
            return
        }
        guard let lag, lag.time <= Self.tooSlow else {
            self.allowed = 0
            return
        }
        if lag.time > Self.slow {
            self.allowed /= 2
        } else if lag.isOver, self.isNeeded {
            // It went out behind the questions of the tick before.
            self.allowed = min(self.allowed * 2, Self.most)
        }
        self.allowed = max(self.allowed, 1)
    }
}
