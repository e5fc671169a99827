import NIOCore
import Synchronization

/// What has changed in a room.
public struct PresenceChange: Sendable, Hashable {
    /// Who is in the room now and was not before, and on which server. Empty in the count-only form.
    public var joined: [String: String]
    /// Who was in the room on another server, and on which server the id is now. Empty in the count-only form.
    public var moved: [String: String]
    /// Who was in the room and is not any more. Empty in the count-only form.
    public var left: Set<String>
    /// As ``RoomPresence/count`` after the change.
    public var count: Int
    /// As ``RoomPresence/missing`` after the change.
    public var missing: [MissingReply]

    public init(
        joined: [String: String],
        moved: [String: String] = [:],
        left: Set<String>,
        count: Int,
        missing: [MissingReply] = []
    ) {
        self.joined = joined
        self.moved = moved
        self.left = left
        self.count = count
        self.missing = missing
    }

    /// Adds a later change, so that both are one: who came and went meanwhile is in neither. Who went and came is where the
    /// id is now.
    mutating func merge(_ later: PresenceChange) {
        for id in later.left {
            self.moved[id] = nil
            if self.joined.removeValue(forKey: id) == nil { self.left.insert(id) }
        }
        for (id, server) in later.joined {
            if self.left.remove(id) == nil { self.joined[id] = server } else { self.moved[id] = server }
        }
        for (id, server) in later.moved {
            if self.joined[id] == nil { self.moved[id] = server } else { self.joined[id] = server }
        }
        self.count = later.count
        self.missing = later.missing
    }
}

/// Who is in a room, on all servers of the cluster.
///
/// ```swift
/// let presence = try await adapter.presence(ofRoom: "lobby", in: "chat")
/// for await change in presence.changes {
///     print("joined", change.joined.keys, "left", change.left)
/// }
/// ```
///
/// The room is watched until ``cancel()``, or until this object and its ``changes`` have been let go.
public final class RoomPresence: Sendable {
    /// How much is known of a room.
    public enum Detail: Sendable, Hashable {
        /// The ids of the members. At most 100,000 of one server; one that has more counts them only, and is in
        /// ``RoomPresence/missing``.
        case members
        /// Their number alone, told by each server at most four times a second: for rooms with very many.
        case countOnly
    }

    public let room: String
    public let namespace: String
    private let observer: PresenceObserver

    init(_ name: RoomName, _ observer: PresenceObserver) {
        self.room = name.room
        self.namespace = name.namespace
        self.observer = observer
    }

    deinit { self.observer.cancel() }

    /// The ids in the room, and on which server each is. Empty in the count-only form. Not kept up to date
    /// after ``cancel()``.
    public var members: [String: String] { self.observer.state.value.withLock { $0.members } }

    /// How many ids there are. In the count-only form the sum of what the servers count, in which an id counts once on each
    /// server that has it.
    public var count: Int { self.observer.state.value.withLock { $0.count } }

    /// Servers whose part is not known, or may be out of date, and why. They are asked again. Servers of the original have
    /// no name here: they cannot answer.
    public var missing: [MissingReply] { self.observer.state.value.withLock { $0.missing } }

    /// What changes from now on; ends with ``cancel()`` and with the server. Changes that nobody takes are made one, so that
    /// no more than the difference waits.
    ///
    /// Take it before ``members`` to miss nothing; a change may then be in both.
    public var changes: AsyncStream<PresenceChange> {
        let (signals, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = self.observer.addMailbox(continuation)
        continuation.onTermination = { [weak observer] _ in observer?.removeMailbox(number) }
        // With this object: the room is watched for as long as somebody waits for changes.
        return AsyncStream { [self] in
            for await _ in signals {
                if let change = self.observer.takeChange(number) { return change }
            }
            return nil
        }
    }

    /// Runs the closure for each change from now on, on an event loop: it must not block.
    public func onChange(_ handler: @escaping @Sendable (PresenceChange) -> Void) {
        self.observer.add(handler)
    }

    /// Stops watching.
    public func cancel() {
        self.observer.cancel()
    }
}

/// What several who watch the same room share.
final class SharedRoomPresence: Sendable {
    let value: Mutex<RoomPresenceState>

    init(_ state: RoomPresenceState) {
        self.value = Mutex(state)
    }
}

/// One who watches a room.
final class PresenceObserver: Sendable {
    let state: SharedRoomPresence
    private let recipients = Mutex(Recipients())
    /// Called once at the most.
    private let onEnd: @Sendable (PresenceObserver) -> Void

    private struct Recipients: Sendable {
        var handlers: [@Sendable (PresenceChange) -> Void] = []
        var mailboxes: [Int: Mailbox] = [:]
        var lastNumber = 0
        var hasEnded = false
    }

    private struct Mailbox: Sendable {
        var change: PresenceChange?
        var signals: AsyncStream<Void>.Continuation
    }

    init(_ state: SharedRoomPresence, onEnd: @escaping @Sendable (PresenceObserver) -> Void) {
        self.state = state
        self.onEnd = onEnd
    }

    var hasEnded: Bool { self.recipients.withLock { $0.hasEnded } }

    func deliver(_ change: PresenceChange) {
        let (handlers, signals) = self.recipients.withLock { recipients in
            for number in recipients.mailboxes.keys {
                if recipients.mailboxes[number]?.change?.merge(change) == nil {
                    recipients.mailboxes[number]?.change = change
                }
            }
            return (recipients.handlers, recipients.mailboxes.values.map(\.signals))
        }
        for handler in handlers { handler(change) }
        for signal in signals { signal.yield() }
    }

    /// Nothing is told to anyone any more.
    func cancel() {
        if self.end() { self.onEnd(self) }
    }

    /// - Returns: whether this is the first time.
    @discardableResult
    func end() -> Bool {
        // The handlers are let go of behind the lock: what their closures hold is the application's.
        let former = self.recipients.withLock { recipients in
            let former = recipients
            recipients = Recipients()
            recipients.hasEnded = true
            return former
        }
        for mailbox in former.mailboxes.values { mailbox.signals.finish() }
        return !former.hasEnded
    }

    func add(_ handler: @escaping @Sendable (PresenceChange) -> Void) {
        self.recipients.withLock { recipients in
            if !recipients.hasEnded { recipients.handlers.append(handler) }
        }
    }

    func addMailbox(_ signals: AsyncStream<Void>.Continuation) -> Int {
        let (number, hasEnded) = self.recipients.withLock { recipients in
            recipients.lastNumber += 1
            if !recipients.hasEnded { recipients.mailboxes[recipients.lastNumber] = Mailbox(signals: signals) }
            return (recipients.lastNumber, recipients.hasEnded)
        }
        if hasEnded { signals.finish() }
        return number
    }

    func removeMailbox(_ number: Int) {
        self.recipients.withLock { $0.mailboxes[number] = nil }
    }

    func takeChange(_ number: Int) -> PresenceChange? {
        self.recipients.withLock { recipients in
            defer { recipients.mailboxes[number]?.change = nil }
            return recipients.mailboxes[number]?.change
        }
    }
}
