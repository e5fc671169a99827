import NIOCore

/// The heartbeat of one connection: at most one is under way, and only its echo answers it. As long as anything else comes
/// the server is alive, and the echo may take its time.
struct Heartbeat {
    /// How often a connection is looked at within the time that it may be silent.
    static let looks = 4

    enum Tick: Equatable {
        case send
        /// The last one has not been answered yet; its own time limit decides.
        case skip
    }

    private(set) var sentAt: NIODeadline?
    /// Looks in a row that have seen nothing new.
    private var silentLooks = 0

    var isAwaitingEcho: Bool { self.sentAt != nil }

    mutating func tick(now: NIODeadline) -> Tick {
        guard self.sentAt == nil else { return .skip }
        self.sentAt = now
        self.silentLooks = 0
        return .send
    }

    /// - Parameter isAlive: whether anything has come since the look before, or cannot come because nothing is read.
    /// - Returns: whether the server has been silent for too long.
    mutating func look(isAlive: Bool) -> Bool {
        guard self.isAwaitingEcho else { return false }
        self.silentLooks = isAlive ? 0 : self.silentLooks + 1
        return self.silentLooks >= Self.looks
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
