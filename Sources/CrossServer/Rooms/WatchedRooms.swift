import NIOCore

/// The rooms of this server that servers of the cluster watch, and what has changed in them since they were told.
///
/// A value without clock and lock. A room need not exist to be watched.
struct WatchedRooms: Sendable {
    struct Limits: Sendable {
        var rooms = 10_000
        /// Servers that watch one room.
        var watchers = 4_096
        /// Members that one answer lists, and the bytes of their ids.
        var members = 100_000
        var memberBytes = 8 << 20
        /// Changes of one room that wait to be told. Beyond: they are dropped, and who watches has to ask.
        var changes = 10_000
    }

    /// What has to be told of a room.
    struct Report: Sendable, Equatable {
        var topic: PresenceTopic
        var from: UInt64
        var to: UInt64
        var count: Int
        var joined: [String] = []
        var left: [String] = []
        /// Whether this server watches the room itself.
        var isForThisServer: Bool
        var isForOthers: Bool
    }

    /// What there is to tell since that was last asked.
    struct Due: Sendable, Equatable {
        var changes = false
        var counts = false
    }

    private struct Watchers: Sendable {
        var isThisServer = false
        var others: [String: Lease] = [:]

        var isEmpty: Bool { !self.isThisServer && self.others.isEmpty }
    }

    private struct Lease: Sendable {
        var number: UInt64
        var until: NIODeadline
    }

    private struct Room: Sendable {
        var ofMembers = Watchers()
        var ofCount = Watchers()
        var version: UInt64
        /// The version that everybody has who watches the members and has missed nothing.
        var told: UInt64
        /// The last that happened to each id since then: whether it joined.
        var changes: [String: Bool] = [:]
        var hasDroppedChanges = false
        var toldCount: Int?
    }

    private let limits: Limits
    private var rooms: [RoomName: Room] = [:]
    /// Never goes back in the life of a server, so that no version is used for two states of a room.
    private var clock: UInt64 = 0
    private var changed: Set<RoomName> = []
    private var changedCounts: Set<RoomName> = []
    private var claimed = Due()

    init(limits: Limits = Limits()) {
        self.limits = limits
    }

    var isEmpty: Bool { self.rooms.isEmpty && self.changed.isEmpty && self.changedCounts.isEmpty }

    /// Begins to watch a room, or goes on.
    ///
    /// - Parameter server: nil for this one, which needs no lease.
    /// - Returns: false when too many rooms are watched.
    mutating func watch(_ topic: PresenceTopic, by server: String?, number: UInt64, until: NIODeadline) -> Bool {
        var room: Room
        if let known = self.rooms[topic.room] {
            room = known
        } else {
            guard self.rooms.count < self.limits.rooms else { return false }
            self.clock += 1
            room = Room(version: self.clock, told: self.clock)
        }
        var watchers = topic.isCountOnly ? room.ofCount : room.ofMembers
        if watchers.isEmpty {
            // What happened meanwhile was not kept.
            room.toldCount = topic.isCountOnly ? nil : room.toldCount
            room.told = topic.isCountOnly ? room.told : room.version
        }
        if let server {
            guard watchers.others[server] != nil || watchers.others.count < self.limits.watchers else { return false }
            let number = max(number, watchers.others[server]?.number ?? 0)
            watchers.others[server] = Lease(number: number, until: until)
        } else {
            watchers.isThisServer = true
        }
        if topic.isCountOnly { room.ofCount = watchers } else { room.ofMembers = watchers }
        self.rooms[topic.room] = room
        return true
    }

    mutating func unwatch(_ topic: PresenceTopic, by server: String?, number: UInt64) {
        guard var room = self.rooms[topic.room] else { return }
        var watchers = topic.isCountOnly ? room.ofCount : room.ofMembers
        if let server {
            guard let lease = watchers.others[server], lease.number <= number else { return }
            watchers.others[server] = nil
        } else {
            watchers.isThisServer = false
        }
        if topic.isCountOnly { room.ofCount = watchers } else { room.ofMembers = watchers }
        self.put(room, topic.room)
    }

    /// Ends what was not watched again in time.
    mutating func expire(now: NIODeadline) {
        for (name, var room) in self.rooms {
            let isOver = { (lease: (key: String, value: Lease)) in lease.value.until <= now }
            guard room.ofMembers.others.contains(where: isOver) || room.ofCount.others.contains(where: isOver)
            else { continue }
            room.ofMembers.others = room.ofMembers.others.filter { !isOver($0) }
            room.ofCount.others = room.ofCount.others.filter { !isOver($0) }
            self.put(room, name)
        }
    }

    private mutating func put(_ room: Room, _ name: RoomName) {
        var room = room
        if room.ofMembers.isEmpty {
            room.changes = [:]
            room.hasDroppedChanges = false
            self.changed.remove(name)
        }
        if room.ofCount.isEmpty { self.changedCounts.remove(name) }
        self.rooms[name] = room.ofMembers.isEmpty && room.ofCount.isEmpty ? nil : room
    }

    /// An id has joined the room, or left it.
    mutating func changed(_ name: RoomName, _ id: String, isMember: Bool) {
        guard !self.rooms.isEmpty, let index = self.rooms.index(forKey: name) else { return }
        self.clock += 1
        self.rooms.values[index].version = self.clock
        if !self.rooms.values[index].ofCount.isEmpty { self.changedCounts.insert(name) }
        guard !self.rooms.values[index].ofMembers.isEmpty else { return }
        self.changed.insert(name)
        guard !self.rooms.values[index].hasDroppedChanges else { return }
        self.rooms.values[index].changes[id] = isMember
        if self.rooms.values[index].changes.count > self.limits.changes {
            self.rooms.values[index].changes = [:]
            self.rooms.values[index].hasDroppedChanges = true
        }
    }

    /// What the caller has to see to now: that the changes are taken soon, and the counts a little later.
    mutating func claimDue() -> Due {
        let due = Due(
            changes: !self.changed.isEmpty && !self.claimed.changes,
            counts: !self.changedCounts.isEmpty && !self.claimed.counts
        )
        if due.changes { self.claimed.changes = true }
        if due.counts { self.claimed.counts = true }
        return due
    }

    /// What has changed since it was taken last, of rooms whose members are watched.
    mutating func takeChanges(count: (RoomName) -> Int) -> [Report] {
        defer { self.changed = [] }
        self.claimed.changes = false
        return self.changed.compactMap { name in
            guard let index = self.rooms.index(forKey: name) else { return nil }
            let room = self.rooms.values[index]
            self.rooms.values[index].told = room.version
            self.rooms.values[index].changes = [:]
            self.rooms.values[index].hasDroppedChanges = false
            return Report(
                topic: PresenceTopic(room: name, isCountOnly: false),
                // After a gap that everyone sees.
                from: room.hasDroppedChanges ? room.version : room.told,
                to: room.version,
                count: count(name),
                joined: room.changes.filter(\.value).map(\.key),
                left: room.changes.filter { !$0.value }.map(\.key),
                isForThisServer: room.ofMembers.isThisServer,
                isForOthers: !room.ofMembers.others.isEmpty
            )
        }
    }

    /// The counts that are other than when they were taken last.
    mutating func takeCounts(count: (RoomName) -> Int) -> [Report] {
        defer { self.changedCounts = [] }
        self.claimed.counts = false
        return self.changedCounts.compactMap { name in
            guard let index = self.rooms.index(forKey: name) else { return nil }
            let count = count(name)
            guard self.rooms.values[index].toldCount != count else { return nil }
            self.rooms.values[index].toldCount = count
            let room = self.rooms.values[index]
            return Report(
                topic: PresenceTopic(room: name, isCountOnly: true),
                from: room.version,
                to: room.version,
                count: count,
                isForThisServer: room.ofCount.isThisServer,
                isForOthers: !room.ofCount.others.isEmpty
            )
        }
    }

    /// - Parameters:
    ///   - known: the version that the asking server has.
    ///   - ids: of the room's members; asked for only when they are needed.
    func answer(
        _ topic: PresenceTopic,
        known: UInt64?,
        incarnation: String,
        count: Int,
        ids: () -> [String]
    ) -> ClusterQuestion.WatchRoom.Reply? {
        guard let room = self.rooms[topic.room] else { return nil }
        var reply = ClusterQuestion.WatchRoom.Reply(incarnation: incarnation, version: room.version, count: count)
        guard !topic.isCountOnly, count <= self.limits.members else { return reply }
        if let known, known >= room.told, known <= room.version {
            reply.version = known
            reply.isUnchanged = true
            return reply
        }
        let ids = ids()
        guard ids.reduce(0, { $0 + $1.utf8.count }) <= self.limits.memberBytes else { return reply }
        reply.ids = ids
        return reply
    }
}

extension Registry {
    /// Watches a room and tells who is in it now.
    ///
    /// - Parameter server: nil for this one.
    /// - Returns: nil when too many rooms are watched.
    mutating func watch(
        _ question: ClusterQuestion.WatchRoom,
        by server: String?,
        incarnation: String,
        until: NIODeadline
    ) -> ClusterQuestion.WatchRoom.Reply? {
        let topic = question.topic
        guard self.watched.watch(topic, by: server, number: question.number, until: until) else { return nil }
        let room = self.room(topic.room)
        return self.watched.answer(
            topic,
            known: question.known[incarnation],
            incarnation: incarnation,
            count: room?.count ?? 0,
            ids: { room?.ids ?? [] }
        )
    }

    mutating func takeChanges() -> [WatchedRooms.Report] {
        let namespaces = self.namespaces
        return self.watched.takeChanges { namespaces[$0.namespace]?[$0.room]?.count ?? 0 }
    }

    mutating func takeCounts() -> [WatchedRooms.Report] {
        let namespaces = self.namespaces
        return self.watched.takeCounts { namespaces[$0.namespace]?[$0.room]?.count ?? 0 }
    }
}
