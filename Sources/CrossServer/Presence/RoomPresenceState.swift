import CrossServerBus
import DequeModule
import NIOCore

/// Who is in one room of the cluster, put together from what its servers say.
///
/// A value without clock, sockets and lock. Each server numbers the versions of its members: changes that do not follow the
/// version that is known make the server be asked anew.
struct RoomPresenceState: Sendable {
    typealias Answer = ClusterQuestion.WatchRoom.Reply
    typealias Changes = ClusterQuestion.RoomChanges

    /// What is known of one server.
    private struct Part: Sendable {
        var incarnation = ""
        /// Nil until it has answered.
        var version: UInt64?
        var ids: Set<String> = []
        /// Members that are counted and not listed.
        var unlisted = 0
        var isTooLarge = false
        var failure: MissingReply.Reason?
        var isAsked = false
        /// The version of changes that came too early, and of which life of the server.
        var ahead: (incarnation: String, version: UInt64)?
        /// The server has gone, and its members are counted until then.
        var countedUntil: NIODeadline?
    }

    /// Servers whose members are kept; the rest is ignored.
    static let maximumServers = 4_096

    let isCountOnly: Bool
    /// How long a member may be away without having left.
    let grace: TimeAmount
    /// The ids, and on which server each is: on the last one that it came to.
    private(set) var members: [String: String] = [:]
    private var parts: [String: Part] = [:]
    /// Servers without a name that did not answer.
    private var unnamed: [MissingReply] = []
    /// Members who are away, until they have left.
    private var away: [String: NIODeadline] = [:]
    /// Some of them are back, or away again.
    private var awayInOrder: Deque<(id: String, until: NIODeadline)> = []
    /// On which server those were that have moved or left since the last change was taken.
    private var former: [String: String] = [:]
    private var told = PresenceChange(joined: [:], left: [], count: 0, missing: [])

    init(isCountOnly: Bool, grace: TimeAmount) {
        self.isCountOnly = isCountOnly
        self.grace = grace
    }

    /// Distinct ids, and those that servers count only.
    var count: Int { self.parts.values.reduce(self.members.count) { $0 + $1.unlisted } }

    /// How many entries wait for the grace to be over.
    var waitingCount: Int { self.awayInOrder.count }

    /// Whose part is not known, or may be out of date.
    var missing: [MissingReply] {
        let named = self.parts.compactMap { server, part in
            part.failure.map { MissingReply(server: server, reason: $0) }
        }
        return named.sorted { ($0.server ?? "") < ($1.server ?? "") } + self.unnamed
    }

    /// Which versions are known, by incarnation.
    var known: [String: UInt64] {
        let known = self.parts.values.compactMap { part in part.version.map { (part.incarnation, $0) } }
        return Dictionary(known, uniquingKeysWith: { max($0, $1) })
    }

    // MARK: Asking

    /// The servers are asked.
    mutating func asked(_ servers: [String]) {
        for server in servers where self.isTaken(server) { self.parts[server, default: Part()].isAsked = true }
    }

    /// - Returns: whether the server has to be asked again, since more has happened there meanwhile.
    mutating func answered(_ answer: Answer, by server: String, now: NIODeadline) -> Bool {
        guard self.isTaken(server) else { return false }
        var part = self.parts.removeValue(forKey: server) ?? Part()
        let isSameLife = part.incarnation == answer.incarnation
        part.isAsked = false
        part.countedUntil = nil
        if !part.isTooLarge { part.failure = nil }
        if !answer.isUnchanged, !isSameLife || answer.version >= part.version ?? 0 {
            self.take(answer, from: server, &part, now)
        }
        // It took this server to know what it has forgotten since.
        let isUseless = answer.isUnchanged && (!isSameLife || part.version ?? 0 < answer.version)
        let isAhead = part.ahead.map { $0.incarnation == part.incarnation && $0.version > part.version ?? 0 } ?? false
        let isBehind = isUseless || isAhead
        part.ahead = nil
        part.isAsked = isBehind
        self.parts[server] = part
        return isBehind
    }

    private mutating func take(_ answer: Answer, from server: String, _ part: inout Part, _ now: NIODeadline) {
        part.incarnation = answer.incarnation
        part.version = answer.version
        part.failure = nil
        part.isTooLarge = answer.ids == nil && !self.isCountOnly
        let former = part.ids
        part.ids = Set(answer.ids ?? [])
        part.unlisted = answer.ids == nil ? max(answer.count, 0) : 0
        if part.isTooLarge {
            part.failure = .failed(code: "TOO_MANY_MEMBERS", message: "the server counts its members only")
            // They have not left, but it is not known any more when they do.
            for id in former { self.went(id, from: server, until: now, now) }
        } else {
            for id in former.subtracting(part.ids) { self.went(id, from: server, until: now + self.grace, now) }
            for id in part.ids.subtracting(former) { self.came(id, to: server) }
        }
    }

    /// A server that was asked has not answered.
    mutating func failed(_ server: String, _ reason: MissingReply.Reason) {
        guard self.isTaken(server) else { return }
        self.parts[server, default: Part()].isAsked = false
        switch reason {
        case .stopped, .died:
            // It is not one of the servers any more.
            if self.parts[server]?.version == nil { self.parts[server] = nil }
        default: self.parts[server]?.failure = reason
        }
    }

    /// All servers were asked, and those that are given have answered or are known to live.
    mutating func answered(by servers: Set<String>, unnamed: [MissingReply], now: NIODeadline) {
        self.unnamed = unnamed
        for server in Array(self.parts.keys) where !servers.contains(server) { self.left(server, now: now) }
    }

    // MARK: Changes

    /// - Returns: whether the server has to be asked, since something was missed.
    mutating func received(_ changes: Changes, from server: String, now: NIODeadline) -> Bool {
        guard self.isTaken(server) else { return false }
        var part = self.parts.removeValue(forKey: server) ?? Part()
        defer { self.parts[server] = part }
        let isSameLife = part.version != nil && part.incarnation == changes.incarnation
        let version = isSameLife ? part.version ?? 0 : 0
        if self.isCountOnly {
            guard !isSameLife || changes.to > version else { return false }
            part.incarnation = changes.incarnation
            part.version = changes.to
            part.unlisted = max(changes.count, 0)
            part.countedUntil = nil
            part.failure = nil
            return false
        }
        guard isSameLife, changes.from <= version else {
            let earlier = part.ahead.flatMap { $0.incarnation == changes.incarnation ? $0.version : nil }
            part.ahead = (changes.incarnation, max(earlier ?? 0, changes.to))
            defer { part.isAsked = true }
            return !part.isAsked
        }
        guard changes.to > version else { return false }
        part.version = changes.to
        if part.isTooLarge {
            part.unlisted = max(changes.count, 0)
            return false
        }
        for id in changes.left where part.ids.remove(id) != nil {
            self.went(id, from: server, until: now + self.grace, now)
        }
        for id in changes.joined where part.ids.insert(id).inserted { self.came(id, to: server) }
        return false
    }

    /// The server is not in the cluster any more.
    mutating func left(_ server: String, now: NIODeadline) {
        guard let part = self.parts[server], part.countedUntil == nil else { return }
        if self.isCountOnly, self.grace > .zero {
            self.parts[server]?.failure = nil
            self.parts[server]?.countedUntil = now + self.grace
            return
        }
        self.parts[server] = nil
        for id in part.ids { self.went(id, from: server, until: now + self.grace, now) }
    }

    private func isTaken(_ server: String) -> Bool {
        self.parts[server] != nil || self.parts.count < Self.maximumServers
    }

    private mutating func came(_ id: String, to server: String) {
        self.away[id] = nil
        if let former = self.members.updateValue(server, forKey: id) {
            self.moved(id, from: former, to: server)
        } else if self.told.left.remove(id) == nil {
            self.told.joined[id] = server
        } else if self.former[id] == server {
            self.former[id] = nil
        } else {
            self.told.moved[id] = server
        }
    }

    private mutating func moved(_ id: String, from former: String, to server: String) {
        guard former != server else { return }
        if self.told.joined[id] != nil {
            self.told.joined[id] = server
            return
        }
        let first = self.former[id] ?? former
        let isBack = first == server
        self.former[id] = isBack ? nil : first
        self.told.moved[id] = isBack ? nil : server
    }

    private mutating func went(_ id: String, from server: String, until: NIODeadline, _ now: NIODeadline) {
        guard self.members[id] == server else { return }
        if let other = self.parts.first(where: { $0.value.ids.contains(id) })?.key {
            self.members[id] = other
            self.moved(id, from: server, to: other)
        } else if until > now {
            self.away[id] = until
            self.awayInOrder.append((id, until))
            guard self.awayInOrder.count > 2 * self.away.count + 1_024 else { return }
            self.awayInOrder = Deque(self.awayInOrder.filter { self.away[$0.id] == $0.until })
        } else {
            self.remove(id)
        }
    }

    private mutating func remove(_ id: String) {
        self.away[id] = nil
        self.told.moved[id] = nil
        let server = self.members.removeValue(forKey: id)
        guard self.told.joined.removeValue(forKey: id) == nil else { return }
        self.told.left.insert(id)
        self.former[id] = self.former[id] ?? server
    }

    // MARK: Time

    /// When ``tick(now:)`` has something to do.
    mutating func nextDeadline() -> NIODeadline? {
        while let first = self.awayInOrder.first, self.away[first.id] != first.until { self.awayInOrder.removeFirst() }
        let counted = self.parts.values.compactMap(\.countedUntil).min()
        guard let first = self.awayInOrder.first?.until else { return counted }
        return counted.map { min($0, first) } ?? first
    }

    /// Those who have been away for too long have left.
    mutating func tick(now: NIODeadline) {
        while let first = self.awayInOrder.first, first.until <= now {
            self.awayInOrder.removeFirst()
            if self.away[first.id] == first.until { self.remove(first.id) }
        }
        for (server, part) in self.parts where part.countedUntil.map({ $0 <= now }) ?? false {
            self.parts[server] = nil
        }
    }

    /// What has changed since it was taken last; nil for nothing.
    mutating func takeChange() -> PresenceChange? {
        let (count, missing) = (self.count, self.missing)
        guard
            !self.told.joined.isEmpty || !self.told.moved.isEmpty || !self.told.left.isEmpty || self.told.count != count
                || self.told.missing != missing
        else { return nil }
        defer {
            self.told = PresenceChange(joined: [:], left: [], count: count, missing: missing)
            self.former = [:]
        }
        self.told.count = count
        self.told.missing = missing
        return self.told
    }
}
