import CrossServerBus
import NIOCore

/// The servers of the cluster as this one knows them: read from any thread.
struct Roster: Sendable {
    /// The other live servers by name.
    var members: [String: Member] = [:]
    /// When they were as long up as they say.
    var takenAt = NIODeadline.uptimeNanoseconds(0)
    /// Their names, sorted.
    var names: [String] = []
    /// Lives that have fallen silent, by name, and until when they may go on where they were: what is for them takes the
    /// same channel as before, since another one could overtake it.
    var silent: [String: (incarnation: String, until: NIODeadline)] = [:]
    /// Since when no link delivers to the inbox of a live server, by name.
    var suspects: [String: NIODeadline] = [:]
    /// Servers that live and cannot be reached, sorted by name.
    var unreachable: [Announcement.HeardServer] = []
    /// This server.
    var own: Member?
    /// Servers of the original on each link; nil when the link cannot say.
    var originals: [BusLink: Int?] = [:]

    /// Whether there is no other server, nor one that may come back.
    var isAlone: Bool { self.members.isEmpty && self.silent.isEmpty }

    /// Where messages for the live servers go, by name.
    var inboxes: [String: Inbox] = [:]

    /// A channel that one life of a server hears alone.
    struct Inbox: Sendable {
        var channel: String
        var incarnation: UInt64?
    }

    mutating func enter(_ member: Member, _ inbox: Inbox, now: NIODeadline) {
        guard member.role == .server else { return }
        var member = member
        // All uptimes are of one moment.
        if self.members.isEmpty { self.takenAt = now }
        member.uptime = member.uptime - (now - self.takenAt)
        let isNew = self.members.updateValue(member, forKey: member.name) == nil
        self.inboxes[member.name] = inbox
        self.silent[member.name] = nil
        if isNew { self.names.insert(member.name, at: self.names.firstIndex { $0 > member.name } ?? self.names.count) }
    }

    mutating func remove(_ member: Member, now: NIODeadline) {
        self.silent = self.silent.filter { $0.value.until > now }
        guard self.members[member.name]?.incarnation == member.incarnation else { return }
        self.members[member.name] = nil
        self.inboxes[member.name] = nil
        self.suspects[member.name] = nil
        self.names.removeAll { $0 == member.name }
    }

    /// The life that has fallen silent, and to which messages for a name go.
    func silentIncarnation(of name: String, now: NIODeadline) -> String? {
        self.silent[name].flatMap { $0.until > now ? $0.incarnation : nil }
    }

    var originalServerCount: Int { self.originals.values.reduce(0) { max($0, $1 ?? 0) } }
    var mayHaveOriginalServers: Bool { self.originals.isEmpty || self.originals.values.contains { $0 != 0 } }
}
