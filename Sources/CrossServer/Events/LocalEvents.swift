import CrossServerWire
import DequeModule
import NIOCore
import Synchronization

/// Events that this server has sent itself, until its own handlers get them.
///
/// A value without lock and event loop: ``ServerEvents`` carries out what it says.
struct LocalEvents: Sendable {
    struct Item: Sendable {
        var event: CrossServerEvent
        var reply: ServerReply?
        var isSystem: Bool
    }

    /// Handled in one turn of the event loop, which has clients to serve too.
    static let maximumPerTurn = 256
    /// Beyond: the turn ends behind the event that is being handled.
    static let maximumTurn = TimeAmount.milliseconds(2)
    /// Long enough for the loop to look at its sockets in between.
    static let pause = TimeAmount.microseconds(50)
    /// Bytes of payloads that may wait.
    static let maximumBytes = 64 << 20

    private let maximum: Int
    private var queue: Deque<Item> = []
    /// Of those that wait, and of those that are about to.
    private var count = 0
    private var bytes = 0
    private var isRunning = false

    init(maximum: Int) {
        self.maximum = maximum
    }

    /// Takes a place for an event that is appended later, or given up.
    ///
    /// - Throws: ``CrossServerError`` with `overloaded`.
    mutating func reserve(_ payload: Payload) throws(CrossServerError) {
        let size = payload.buffer.readableBytes
        guard self.count < self.maximum, self.count == 0 || self.bytes + size <= Self.maximumBytes else {
            throw CrossServerError(.overloaded, "too many events of this server wait for its own handlers")
        }
        self.count += 1
        self.bytes += size
    }

    mutating func giveUp(_ payload: Payload) {
        self.count -= 1
        self.bytes -= payload.buffer.readableBytes
    }

    /// - Returns: whether a turn must be begun.
    mutating func append(_ item: Item) -> Bool {
        self.queue.append(item)
        defer { self.isRunning = true }
        return !self.isRunning
    }

    /// - Returns: the next event; nil when there is none, and no turn need follow.
    mutating func next() -> Item? {
        guard let item = self.queue.popFirst() else {
            self.isRunning = false
            return nil
        }
        self.giveUp(item.event.payload)
        return item
    }
}
