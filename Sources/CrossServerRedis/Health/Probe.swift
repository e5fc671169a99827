import NIOCore

/// Whether a connection still answers, and how quickly.
struct Probe {
    let deadline: TimeAmount
    private var sent: NIODeadline?
    /// When anything came last.
    private var heard = NIODeadline.uptimeNanoseconds(0)
    /// Exponentially smoothed; a probe counts a quarter.
    private(set) var latency: TimeAmount?

    init(deadline: TimeAmount) {
        self.deadline = deadline
    }

    var isWaiting: Bool { self.sent != nil }

    mutating func sent(at now: NIODeadline) {
        self.sent = now
    }

    /// Whatever comes shows that the server lives: the answer may be far back in what it has to send.
    mutating func heard(at now: NIODeadline) {
        self.heard = now
    }

    mutating func answered(at now: NIODeadline) {
        guard let sent = self.sent else { return }
        self.sent = nil
        let last = now - sent
        self.latency = self.latency.map { .nanoseconds(($0.nanoseconds * 3 + last.nanoseconds) / 4) } ?? last
    }

    /// When the connection has to be given up if nothing more comes. Nil: no probe is under way.
    var due: NIODeadline? { self.sent.map { max($0, self.heard) + self.deadline } }
}
