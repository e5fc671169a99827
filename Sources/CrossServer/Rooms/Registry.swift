/// What a ``Registry`` keeps: a client's connection.
protocol RegistryMember: AnyObject, Sendable {
    /// Which event loop the connection lives on.
    var loopIndex: Int { get }
}

extension ClientSocket: RegistryMember {
    var loopIndex: Int { self.loop.index }
}

/// Which ids are bound to which connection, and which ids are in which rooms of this server.
///
/// A value without locks or sockets. Rooms hold ids: a connection that takes over an id takes over its rooms.
struct Registry<Member: RegistryMember>: Sendable {
    private(set) var members: [String: Member] = [:]
    private(set) var namespaces: [String: [String: Room]] = [:]
    private var joined: [String: Set<RoomName>] = [:]
    /// Rooms that came or went since they were taken.
    private var changedRooms: [RoomName] = []
    var watched = WatchedRooms()

    mutating func takeChangedRooms() -> [RoomName] {
        guard !self.changedRooms.isEmpty else { return [] }
        defer { self.changedRooms = [] }
        return self.changedRooms
    }

    /// Binds an id.
    /// - Returns: the connection that held the id before, if it is another one.
    mutating func bind(_ id: String, to member: Member) -> Member? {
        let previous = self.members.updateValue(member, forKey: id)
        guard let previous, previous !== member else { return nil }
        for name in self.joined[id] ?? [] {
            self.namespaces[name.namespace]?[name.room]?.insert(id, member)
        }
        return previous
    }

    /// Releases an id and takes it out of its rooms.
    /// - Parameter holder: release it only if this connection holds it.
    /// - Returns: the connection that held the id.
    mutating func release(_ id: String, heldBy holder: Member? = nil) -> Member? {
        guard let member = self.members[id], holder == nil || holder === member else { return nil }
        for name in self.joined.removeValue(forKey: id) ?? [] {
            self.remove(id, from: name)
        }
        self.members[id] = nil
        return member
    }

    enum JoinResult: Equatable {
        case joined, alreadyIn, unknownMember, tooManyRooms, tooManyNamespaces
    }

    mutating func join(
        _ id: String,
        _ name: RoomName,
        maximumRooms: Int,
        maximumNamespaces: Int = .max
    ) -> JoinResult {
        guard let member = self.members[id] else { return .unknownMember }
        guard self.joined[id]?.contains(name) != true else { return .alreadyIn }
        guard self.joined[id, default: []].count < maximumRooms else { return .tooManyRooms }
        guard self.mayUse(name.namespace, id, maximum: maximumNamespaces) else { return .tooManyNamespaces }
        self.joined[id, default: []].insert(name)
        if self.namespaces[name.namespace]?[name.room] == nil { self.changedRooms.append(name) }
        self.namespaces[name.namespace, default: [:]][name.room, default: Room()].insert(id, member)
        self.watched.changed(name, id, isMember: true)
        return .joined
    }

    private func mayUse(_ namespace: String, _ id: String, maximum: Int) -> Bool {
        guard let rooms = self.joined[id], rooms.count >= maximum else { return true }
        // Mostly the first one tells.
        if rooms.contains(where: { $0.namespace == namespace }) { return true }
        return Set(rooms.lazy.map(\.namespace)).count < maximum
    }

    /// - Returns: whether the id was in the room.
    mutating func leave(_ id: String, _ name: RoomName) -> Bool {
        guard self.joined[id]?.remove(name) != nil else { return false }
        if self.joined[id]?.isEmpty == true { self.joined[id] = nil }
        self.remove(id, from: name)
        return true
    }

    /// Removes a room with all its members.
    mutating func removeRoom(_ name: RoomName) {
        guard let room = self.namespaces[name.namespace]?.removeValue(forKey: name.room) else { return }
        self.changedRooms.append(name)
        for id in room.ids {
            self.watched.changed(name, id, isMember: false)
            self.joined[id]?.remove(name)
            if self.joined[id]?.isEmpty == true { self.joined[id] = nil }
        }
        self.dropNamespaceIfEmpty(name.namespace)
    }

    func room(_ name: RoomName) -> Room? {
        self.namespaces[name.namespace]?[name.room]
    }

    /// The rooms that an id is in.
    func rooms(of id: String) -> Set<RoomName> {
        self.joined[id] ?? []
    }

    private mutating func remove(_ id: String, from name: RoomName) {
        self.watched.changed(name, id, isMember: false)
        guard self.namespaces[name.namespace]?[name.room]?.remove(id) == true else { return }
        self.namespaces[name.namespace]?[name.room] = nil
        self.changedRooms.append(name)
        self.dropNamespaceIfEmpty(name.namespace)
    }

    private mutating func dropNamespaceIfEmpty(_ namespace: String) {
        if self.namespaces[namespace]?.isEmpty == true { self.namespaces[namespace] = nil }
    }
}

extension Registry {
    /// The members of one room, by event loop: a broadcast makes one hop per loop and walks a list there.
    struct Room: Sendable {
        private var slots: [String: Slot] = [:]
        /// Indexed by ``RegistryMember/loopIndex``.
        private(set) var membersByLoop: [MemberList<Member>] = []
        private var idsByLoop: [ContiguousArray<String>] = []

        private struct Slot: Sendable {
            var loop: Int
            var index: Int
        }

        var count: Int { self.slots.count }
        var ids: [String] { Array(self.slots.keys) }

        mutating func insert(_ id: String, _ member: Member) {
            _ = self.remove(id)
            while self.membersByLoop.count <= member.loopIndex {
                self.membersByLoop.append(MemberList())
                self.idsByLoop.append([])
            }
            self.slots[id] = Slot(loop: member.loopIndex, index: self.membersByLoop[member.loopIndex].count)
            self.membersByLoop[member.loopIndex].append(member)
            self.idsByLoop[member.loopIndex].append(id)
        }

        /// - Returns: whether the room is empty now.
        mutating func remove(_ id: String) -> Bool {
            guard let slot = self.slots.removeValue(forKey: id) else { return self.slots.isEmpty }
            // The last one takes the free place, so that removing does not depend on the room's size.
            let last = self.membersByLoop[slot.loop].count - 1
            if slot.index != last {
                self.membersByLoop[slot.loop][slot.index] = self.membersByLoop[slot.loop][last]
                let movedID = self.idsByLoop[slot.loop][last]
                self.idsByLoop[slot.loop][slot.index] = movedID
                self.slots[movedID]?.index = slot.index
            }
            self.membersByLoop[slot.loop].removeLast()
            self.idsByLoop[slot.loop].removeLast()
            return self.slots.isEmpty
        }
    }
}
