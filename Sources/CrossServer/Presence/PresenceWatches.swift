import CrossServerBus
import NIOCore

/// Names what those share who watch the same room in the same way.
struct PresenceKey: Hashable, Sendable {
    var topic: PresenceTopic
    var grace: TimeAmount
}

/// The rooms that this server watches. Used on the transport's event loop only.
struct PresenceWatches: Sendable {
    var watches: [PresenceKey: PresenceWatch] = [:]
    /// By the name of the channel.
    var keys: [String: [PresenceKey]] = [:]
    var lastNumber: UInt64 = 0
    var isTicking = false
    var hasEnded = false

    /// Beyond: ``CrossServerError/Code-swift.struct/overloaded``.
    static let maximum = 10_000

    mutating func nextNumber() -> UInt64 {
        self.lastNumber += 1
        return self.lastNumber
    }
}

/// One room that this server watches, and for whom.
struct PresenceWatch: Sendable {
    /// Tells it from one that was there before with the same key.
    let number: UInt64
    let state: SharedRoomPresence
    var observers: [ObjectIdentifier: PresenceObserver] = [:]
    /// Those who wait until all servers have answered for the first time.
    var waiters: [CheckedContinuation<Void, Never>] = []
    var isSettled = false
    /// Set while all servers are asked: who has answered, and what is missing.
    var asking: Asking?
    var nextAsking = NIODeadline.distantFuture
    var wakesAt: NIODeadline?

    struct Asking: Sendable {
        var answered: Set<String> = []
        var unnamed: [MissingReply] = []
        var hasFailed = false
    }
}
