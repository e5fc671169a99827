import HeapModule
import NIOCore

/// Requests to other servers that wait for replies: who was asked, who has answered, and when waiting ends.
///
/// A value without a clock and without a lock: its owner tells it what happened and when, and hands on what it returns.
/// `Sink` is whatever takes the replies of one request.
struct RequestTable<Sink> {
    /// Names a request of this table; never used again.
    typealias Number = UInt64

    /// What the owner has to hand on to a sink.
    struct Action {
        var sink: Sink
        /// The server whose reply this is, which is the first of its; nil when there is none.
        var reply: (server: String, remaining: Int?)?
        /// Set when this is the last.
        var end: RequestEnd?
    }

    /// Why a reply is ignored.
    enum Ignored: Error, Hashable {
        /// No such request waits: its reply comes late, or is forged.
        case notWaiting
        /// The server was not asked.
        case notAsked
        /// The server has answered before.
        case repeated
    }

    fileprivate struct Entry {
        var sink: Sink
        /// The servers that are expected to answer, in the order in which they were named.
        var names: [String]
        /// Whether every server was asked, and so may answer.
        var isForAll: Bool
        var answered: Set<String> = []
        /// Those of the names that cannot answer any more, and why.
        var gone: [MissingReply] = []
        /// How many of the names have neither answered nor gone.
        var openNames: Int
        /// How many are expected whose names nobody knows; nil while that is not known either.
        var others: Int?
        /// How many of those have answered.
        var otherAnswers = 0
        /// How many answers are enough, whoever gives them.
        var expected: Int?
        /// This server, when it handles the request itself.
        var local: String?
        var failure: MissingReply.Reason?

        init(sink: Sink, names: [String], isForAll: Bool, expected: Int?, local: String?) {
            self.sink = sink
            self.names = names
            self.isForAll = isForAll
            self.openNames = names.count
            self.others = isForAll ? nil : 0
            self.expected = expected
            self.local = local
        }

        /// How many answers are still expected; nil while nobody knows.
        var remaining: Int? {
            if let expected = self.expected { return max(expected - self.answered.count, 0) }
            return self.others.map { self.openNames + max($0 - self.otherAnswers, 0) }
        }

        var isComplete: Bool {
            self.remaining == 0 || (!self.isForAll && self.openNames == 0)
        }

        /// - Returns: why the reply does not count; nil when it does.
        mutating func reply(from server: String) -> Ignored? {
            // One server is asked most often.
            if !self.isForAll, self.expected == nil, self.names.count == 1, self.names[0] == server, self.openNames == 1
            {
                self.openNames = 0
                return nil
            }
            let isNamed = self.names.contains(server)
            guard isNamed || self.isForAll, self.answered.count < RequestTable.maximumAnswers else { return .notAsked }
            guard self.answered.insert(server).inserted else { return .repeated }
            if !isNamed {
                self.otherAnswers += 1
            } else if let index = self.gone.firstIndex(where: { $0.server == server }) {
                // It was thought to be dead.
                self.gone.remove(at: index)
            } else {
                self.openNames -= 1
            }
            return nil
        }

        func isOpen(_ name: String) -> Bool {
            !self.answered.contains(name) && !self.gone.contains { $0.server == name }
        }

        /// Who has not answered, given why those did not who still could have.
        func missing(_ reason: MissingReply.Reason) -> [MissingReply] {
            var missing = self.gone
            if self.openNames > 0 {
                missing += self.names.filter { self.isOpen($0) }.map { MissingReply(server: $0, reason: reason) }
            }
            var unnamed = max((self.others ?? 0) - self.otherAnswers, 0)
            if let expected = self.expected {
                let count = max(expected - self.answered.count, 0)
                missing = Array(missing.prefix(count))
                unnamed = count - missing.count
            }
            missing += Array(repeating: MissingReply(server: nil, reason: reason), count: unnamed)
            // Somebody may have been reached of whom nothing is known.
            if missing.isEmpty, self.others == nil || self.failure != nil {
                missing = [MissingReply(server: nil, reason: reason)]
            }
            return missing
        }
    }

    private struct Deadline: Comparable {
        var time: NIODeadline
        var number: Number

        static func < (left: Deadline, right: Deadline) -> Bool { left.time < right.time }
    }

    /// Servers that may answer one request.
    private static var maximumAnswers: Int { 16_384 }

    private var entries: [Number: Entry] = [:]
    /// Also of requests that have ended meanwhile.
    private var deadlines = Heap<Deadline>()
    private(set) var lastNumber: Number = 0

    var count: Int { self.entries.count }

    /// How many deadlines are kept, also of requests that have ended.
    var deadlineCount: Int { self.deadlines.count }

    /// Adds a request, before it is sent.
    ///
    /// - Parameters:
    ///   - targets: nil when every server is asked.
    ///   - awaited: the servers that are known, when every server is asked.
    ///   - unreachable: servers that cannot be asked: missing from the beginning, if they are among the targets.
    ///   - expected: how many answers end the request; nil for those of all targets, or of all that are awaited and the
    ///     others of whom ``published(_:receivers:)`` tells.
    ///   - local: this server's name when it handles the request too.
    mutating func open(
        _ sink: Sink,
        targets: [String]?,
        awaited: [String] = [],
        unreachable: [String] = [],
        expected: Int?,
        local: String?,
        deadline: NIODeadline
    ) -> Number {
        self.lastNumber += 1
        var names = targets ?? (local.map { awaited + [$0] } ?? awaited)
        if targets == nil, !unreachable.isEmpty { names += unreachable.filter { !awaited.contains($0) } }
        if names.count > 1, targets != nil {
            var seen: Set<String> = []
            names = names.filter { seen.insert($0).inserted }
        }
        self.entries[self.lastNumber] = Entry(
            sink: sink,
            names: names,
            isForAll: targets == nil,
            expected: expected,
            local: local
        )
        for server in unreachable where names.contains(server) {
            self.entries[self.lastNumber]?.gone.append(MissingReply(server: server, reason: .unreachable))
            self.entries[self.lastNumber]?.openNames -= 1
        }
        self.insert(Deadline(time: deadline, number: self.lastNumber))
        return self.lastNumber
    }

    /// A request went out, and if it is one to every server then to so many others; nil when that is not known.
    mutating func published(_ number: Number, receivers: Int?) -> Action? {
        guard let entry = self.entries[number] else { return nil }
        if entry.others == nil, let receivers {
            let deaf = entry.gone.count { $0.reason == .unreachable }
            let known = entry.names.count - deaf - (entry.local == nil ? 0 : 1)
            self.entries[number]?.others = max(receivers - known, 0)
        }
        return self.endIfComplete(number)
    }

    /// The request could not be sent to other servers: only this one's answer is waited for.
    mutating func notPublished(_ number: Number, reason: MissingReply.Reason) -> Action? {
        guard let entry = self.entries[number] else { return nil }
        self.entries[number]?.failure = reason
        if entry.others == nil { self.entries[number]?.others = 0 }
        let isLocalOpen = entry.local.map { !entry.answered.contains($0) } ?? false
        return isLocalOpen ? nil : self.end(number, reply: nil, reason: reason)
    }

    /// A server has answered.
    mutating func reply(_ number: Number, from server: String) -> Result<Action, Ignored> {
        guard let index = self.entries.index(forKey: number) else { return .failure(.notWaiting) }
        // In place, and found once: this is done for every reply.
        if let ignored = self.entries.values[index].reply(from: server) { return .failure(ignored) }
        let reply = (server: server, remaining: self.entries.values[index].remaining)
        if server == self.entries.values[index].local, let failure = self.entries.values[index].failure,
            let action = self.end(number, reply: reply, reason: failure)
        {
            return .success(action)
        }
        if let action = self.endIfComplete(index, reply: reply) { return .success(action) }
        return .success(Action(sink: self.entries.values[index].sink, reply: reply, end: nil))
    }

    /// Who was asked with all others is no server, and will not answer.
    mutating func declined(_ number: Number, by name: String) -> Action? {
        guard let entry = self.entries[number], entry.isForAll, entry.isOpen(name) else { return nil }
        if let index = entry.names.firstIndex(of: name) {
            self.entries[number]?.names.remove(at: index)
            self.entries[number]?.openNames -= 1
        } else if entry.otherAnswers < Self.maximumAnswers {
            self.entries[number]?.otherAnswers += 1
        }
        return self.endIfComplete(number)
    }

    /// One of the servers that were asked cannot answer any more.
    mutating func gone(_ number: Number, _ server: String, reason: MissingReply.Reason) -> Action? {
        guard let entry = self.entries[number], entry.isOpen(server), entry.names.contains(server) else { return nil }
        self.entries[number]?.gone.append(MissingReply(server: server, reason: reason))
        self.entries[number]?.openNames -= 1
        return self.endIfComplete(number)
    }

    /// A server cannot answer any request any more.
    mutating func gone(_ server: String, reason: MissingReply.Reason) -> [Action] {
        let numbers = self.entries.filter { $0.value.names.contains(server) }.keys.sorted()
        return numbers.compactMap { self.gone($0, server, reason: reason) }
    }

    /// Servers whose answer is open in one of the requests up to a number.
    func awaited(through number: Number, maximum: Int) -> Set<String> {
        var awaited: Set<String> = []
        for (key, entry) in self.entries where key <= number && entry.openNames > 0 {
            for name in entry.names where name != entry.local && entry.isOpen(name) {
                awaited.insert(name)
                if awaited.count == maximum { return awaited }
            }
        }
        return awaited
    }

    /// Forgets a request; nothing is told to anyone any more.
    ///
    /// - Returns: its sink, nil when it had ended.
    @discardableResult
    mutating func cancel(_ number: Number) -> Sink? {
        self.entries.removeValue(forKey: number)?.sink
    }

    /// Ends the requests whose time is over.
    mutating func expire(now: NIODeadline) -> [Action] {
        var actions: [Action] = []
        while let first = self.deadlines.min, first.time <= now {
            self.deadlines.removeMin()
            if let action = self.end(first.number, reply: nil, reason: .timeout) { actions.append(action) }
        }
        return actions
    }

    /// Ends all requests.
    mutating func endAll(_ reason: MissingReply.Reason) -> [Action] {
        let numbers = self.entries.keys.sorted()
        self.deadlines = Heap()
        return numbers.compactMap { self.end($0, reply: nil, reason: reason) }
    }
    private mutating func endIfComplete(_ number: Number) -> Action? {
        self.entries.index(forKey: number).flatMap { self.endIfComplete($0, reply: nil) }
    }

    private mutating func endIfComplete(
        _ index: Dictionary<Number, Entry>.Index,
        reply: (server: String, remaining: Int?)?
    ) -> Action? {
        guard self.entries.values[index].isComplete, self.entries.values[index].failure == nil else { return nil }
        let entry = self.entries.remove(at: index).value
        return Action(sink: entry.sink, reply: reply, end: RequestEnd(missing: entry.gone))
    }

    /// - Parameter reason: why nobody answers any more.
    private mutating func end(
        _ number: Number,
        reply: (server: String, remaining: Int?)?,
        reason: MissingReply.Reason
    ) -> Action? {
        guard let entry = self.entries.removeValue(forKey: number) else { return nil }
        return Action(sink: entry.sink, reply: reply, end: RequestEnd(missing: entry.missing(reason)))
    }

    private mutating func insert(_ deadline: Deadline) {
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
struct RequestEnd: Sendable, Hashable {
    var missing: [MissingReply]
}
