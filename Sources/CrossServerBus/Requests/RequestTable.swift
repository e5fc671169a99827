package import HeapModule
package import NIOCore

/// Requests to other servers that wait for replies: who was asked, who has answered, and when waiting ends.
///
/// A value without a clock and without a lock: its owner tells it what happened and when, and hands on what it returns.
/// `Sink` is whatever takes the replies of one request. Inlinable, since every call that does not know the sink's type
/// costs more than what it does.
package struct RequestTable<Sink> {
    /// Names a request of this table; never used again.
    package typealias Number = UInt64

    /// What the owner has to hand on to a sink.
    package struct Action {
        package var sink: Sink
        /// The server whose reply this is, which is the first of its; nil when there is none.
        package var reply: (server: String, remaining: Int?)?
        /// Set when this is the last.
        package var end: RequestEnd?

        @inlinable
        init(sink: Sink, reply: (server: String, remaining: Int?)?, end: RequestEnd?) {
            self.sink = sink
            self.reply = reply
            self.end = end
        }
    }

    /// Why a reply is ignored.
    package enum Ignored: Error, Hashable {
        /// No such request waits: its reply comes late, or is forged.
        case notWaiting
        /// The server was not asked.
        case notAsked
        /// The server has answered before.
        case repeated
    }

    @usableFromInline
    struct Entry {
        @usableFromInline
        var sink: Sink
        /// In the order in which they were named; nil when every server was asked.
        @usableFromInline
        var targets: [String]?
        @usableFromInline
        var answered: Set<String> = []
        /// Nil while it is not known how many were reached.
        @usableFromInline
        var expected: Int?
        /// This server, when it handles the request itself.
        @usableFromInline
        var local: String?
        @usableFromInline
        var failure: MissingReply.Reason?

        @inlinable
        init(sink: Sink, targets: [String]?, expected: Int?, local: String?) {
            self.sink = sink
            self.targets = targets
            self.expected = expected
            self.local = local
        }
    }

    @usableFromInline
    struct Deadline: Comparable {
        @usableFromInline
        var time: NIODeadline
        @usableFromInline
        var number: Number

        @inlinable
        init(time: NIODeadline, number: Number) {
            self.time = time
            self.number = number
        }

        @inlinable
        static func < (left: Deadline, right: Deadline) -> Bool { left.time < right.time }
    }

    /// Servers that may answer one request.
    @inlinable
    static var maximumAnswers: Int { 16_384 }

    @usableFromInline
    var entries: [Number: Entry] = [:]
    /// Also of requests that have ended meanwhile.
    @usableFromInline
    var deadlines = Heap<Deadline>()
    @usableFromInline
    var lastNumber: Number = 0

    @inlinable
    package init() {}

    @inlinable
    package var count: Int { self.entries.count }

    /// How many deadlines are kept, also of requests that have ended.
    var deadlineCount: Int { self.deadlines.count }

    /// Adds a request, before it is sent.
    ///
    /// - Parameters:
    ///   - targets: nil when every server is asked.
    ///   - expected: how many answers end the request; nil for as many as there are targets, or as
    ///     ``published(_:receivers:)`` says.
    ///   - local: this server's name when it handles the request too.
    @inlinable
    package mutating func open(
        _ sink: Sink,
        targets: [String]?,
        expected: Int?,
        local: String?,
        deadline: NIODeadline
    ) -> Number {
        self.lastNumber += 1
        var names: [String]?
        if let targets {
            var seen: Set<String> = []
            names = targets.count > 1 ? targets.filter { seen.insert($0).inserted } : targets
        }
        self.entries[self.lastNumber] = Entry(
            sink: sink,
            targets: names,
            expected: expected ?? names?.count,
            local: local
        )
        self.insert(Deadline(time: deadline, number: self.lastNumber))
        return self.lastNumber
    }

    /// The request went out to so many other servers; nil when that is not known.
    @inlinable
    package mutating func published(_ number: Number, receivers: Int?) -> Action? {
        guard let entry = self.entries[number], entry.expected == nil, let receivers else { return nil }
        self.entries[number]?.expected = receivers + (entry.local == nil ? 0 : 1)
        return self.endIfComplete(number, reply: nil)
    }

    /// The request could not be sent to other servers: only this one's answer is waited for.
    @inlinable
    package mutating func notPublished(_ number: Number, reason: MissingReply.Reason) -> Action? {
        guard let entry = self.entries[number] else { return nil }
        self.entries[number]?.failure = reason
        if entry.targets == nil, entry.expected == nil { self.entries[number]?.expected = entry.local == nil ? 0 : 1 }
        let isLocalOpen = entry.local.map { !entry.answered.contains($0) } ?? false
        return isLocalOpen ? nil : self.end(number, reply: nil, reason: reason)
    }

    /// A server has answered.
    @inlinable
    package mutating func reply(_ number: Number, from server: String) -> Result<Action, Ignored> {
        guard let entry = self.entries[number] else { return .failure(.notWaiting) }
        if let targets = entry.targets, !targets.contains(server) { return .failure(.notAsked) }
        guard !entry.answered.contains(server) else { return .failure(.repeated) }
        guard entry.answered.count < Self.maximumAnswers else { return .failure(.notAsked) }
        let remaining = entry.expected.map { max($0 - entry.answered.count - 1, 0) }
        let reply = (server: server, remaining: remaining)
        if remaining == 0, entry.failure == nil, let action = self.end(number, reply: reply, reason: nil) {
            return .success(action)
        }
        self.entries[number]?.answered.insert(server)
        if server == entry.local, let failure = entry.failure,
            let action = self.end(number, reply: reply, reason: failure)
        {
            return .success(action)
        }
        if let action = self.endIfComplete(number, reply: reply) { return .success(action) }
        return .success(Action(sink: entry.sink, reply: reply, end: nil))
    }

    /// Forgets a request; nothing is told to anyone any more.
    ///
    /// - Returns: its sink, nil when it had ended.
    @inlinable
    @discardableResult
    package mutating func cancel(_ number: Number) -> Sink? {
        self.entries.removeValue(forKey: number)?.sink
    }

    /// Ends the requests whose time is over.
    @inlinable
    package mutating func expire(now: NIODeadline) -> [Action] {
        var actions: [Action] = []
        while let first = self.deadlines.min, first.time <= now {
            self.deadlines.removeMin()
            if let action = self.end(first.number, reply: nil, reason: .timeout) { actions.append(action) }
        }
        return actions
    }

    /// Ends all requests.
    @inlinable
    package mutating func endAll(_ reason: MissingReply.Reason) -> [Action] {
        let numbers = self.entries.keys.sorted()
        self.deadlines = Heap()
        return numbers.compactMap { self.end($0, reply: nil, reason: reason) }
    }

    @inlinable
    mutating func endIfComplete(_ number: Number, reply: (server: String, remaining: Int?)?) -> Action? {
        guard let entry = self.entries[number], let expected = entry.expected else { return nil }
        return entry.answered.count >= expected ? self.end(number, reply: reply, reason: nil) : nil
    }

    /// - Parameter reason: why nobody answers any more; nil when all who were expected did.
    @inlinable
    mutating func end(
        _ number: Number,
        reply: (server: String, remaining: Int?)?,
        reason: MissingReply.Reason?
    ) -> Action? {
        guard let entry = self.entries.removeValue(forKey: number) else { return nil }
        var missing: [MissingReply] = []
        if let reason {
            if let targets = entry.targets {
                missing = targets.filter { !entry.answered.contains($0) }.map { .init(server: $0, reason: reason) }
            } else {
                let count = max((entry.expected ?? 0) - entry.answered.count, 0)
                missing = Array(repeating: MissingReply(server: nil, reason: reason), count: count)
            }
            // Somebody may have been reached of whom nothing is known.
            if missing.isEmpty, entry.expected == nil || entry.failure != nil {
                missing = [MissingReply(server: nil, reason: reason)]
            }
        }
        return Action(sink: entry.sink, reply: reply, end: RequestEnd(missing: missing))
    }

    @inlinable
    mutating func insert(_ deadline: Deadline) {
        // Most requests end long before their deadline: now and then only what still waits is kept.
        if self.deadlines.count > 1_024, self.deadlines.count > 4 * self.entries.count {
            self.deadlines = Heap(self.deadlines.unordered.filter { self.entries[$0.number] != nil })
        }
        self.deadlines.insert(deadline)
    }
}

extension RequestTable: Sendable where Sink: Sendable {}
extension RequestTable.Entry: Sendable where Sink: Sendable {}

/// How a request ended.
package struct RequestEnd: Sendable, Hashable {
    package var missing: [MissingReply]

    @inlinable
    init(missing: [MissingReply]) {
        self.missing = missing
    }
}
