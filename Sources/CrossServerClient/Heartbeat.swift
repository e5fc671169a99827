import NIOCore

/// The heartbeat of one connection: at most one is under way, and only its echo counts.
struct Heartbeat {
    enum Tick: Equatable {
        case send
        /// The last one has not been answered yet; its own time limit decides.
        case skip
    }

    private(set) var sentAt: NIODeadline?

    var isAwaitingEcho: Bool { self.sentAt != nil }

    mutating func tick(now: NIODeadline) -> Tick {
        guard self.sentAt == nil else { return .skip }
        self.sentAt = now
        return .send
    }

    /// - Returns: the round trip; nil for an echo that was not asked for.
    mutating func echoed(now: NIODeadline) -> Duration? {
        guard let sentAt = self.sentAt else { return nil }
        self.sentAt = nil
        return Duration(now - sentAt)
    }

    mutating func reset() {
        self.sentAt = nil
    }
}
