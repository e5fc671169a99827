import NIOCore
import Testing

@testable import CrossServerBus

/// Members that hear each other over links without any delay, with a clock that is set by hand.
struct MembershipCluster {
    struct Seeded: RandomNumberGenerator, Sendable {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state &+= 0x9E37_79B9_7F4A_7C15
            var z = self.state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    /// By incarnation.
    var members: [String: Membership] = [:]
    var events: [String: [MembershipAction]] = [:]
    /// Links over which nothing that the incarnation publishes is carried, or over which it hears nothing.
    var mute: Set<String> = []
    var deaf: Set<String> = []
    /// Published while it is set, and delivered by nobody until somebody does.
    var kept: [(Announcement, MembershipAction.Destination, BusLink)] = []
    var keepsHeartbeats = false

    /// Two servers that know each other.
    static func pair() -> MembershipCluster {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(3))
        return cluster
    }

    mutating func start(_ name: String, _ incarnation: String, links: [Int] = [0, 1]) {
        self.members[incarnation] = Membership(
            name: name,
            incarnation: incarnation,
            random: Seeded(state: UInt64(self.members.count + 1)),
            now: self.now
        )
        for link in links { self.link(incarnation, link, isUsable: true) }
    }

    mutating func link(_ incarnation: String, _ number: Int, isUsable: Bool) {
        self.link(incarnation, number, canPublish: isUsable, canReceive: isUsable)
    }

    mutating func link(_ incarnation: String, _ number: Int, canPublish: Bool, canReceive: Bool) {
        let status = BusLinkStatus(
            link: BusLink(number: number),
            name: "redis\(number)",
            canPublish: canPublish,
            canReceive: canReceive
        )
        let now = self.now
        self.perform(self.members[incarnation]?.linkChanged(status, now: now) ?? [], of: incarnation)
    }

    mutating func kill(_ incarnation: String) {
        self.members[incarnation] = nil
    }

    mutating func run(_ time: TimeAmount) {
        let end = self.now + time
        while self.now < end {
            self.now = self.now + .milliseconds(100)
            let now = self.now
            for incarnation in self.members.keys.sorted() {
                self.perform(self.members[incarnation]?.tick(now: now) ?? [], of: incarnation)
            }
        }
    }

    mutating func perform(_ actions: [MembershipAction], of incarnation: String) {
        for action in actions {
            guard case .send(let announcement, let destination, let link) = action else {
                self.events[incarnation, default: []].append(action)
                continue
            }
            if self.mute.contains("\(incarnation)/\(link.number)") { continue }
            if self.keepsHeartbeats, announcement.kind == .heartbeat {
                self.kept.append((announcement, destination, link))
                continue
            }
            self.deliver(announcement, destination, link)
        }
    }

    mutating func deliver(_ announcement: Announcement, _ destination: MembershipAction.Destination, _ link: BusLink) {
        // Through its form on the wire.
        guard let copy = Announcement(announcement.event) else {
            Issue.record("\(announcement) is refused")
            return
        }
        #expect(copy == announcement)
        for receiver in self.members.keys.sorted() {
            if self.deaf.contains("\(receiver)/\(link.number)") { continue }
            if self.members[receiver]?.ownLinks[link]?.canReceive != true { continue }
            if case .inbox(_, let incarnation) = destination, incarnation != receiver { continue }
            let now = self.now
            self.perform(self.members[receiver]?.received(copy, over: link, now: now) ?? [], of: receiver)
        }
    }

    /// A server asks a link who hears the inbox of another one.
    mutating func count(_ incarnation: String, by asker: String, over number: Int) {
        let isHeard =
            self.members[incarnation]?.ownLinks[BusLink(number: number)]?.canReceive == true
            && !self.deaf.contains("\(incarnation)/\(number)")
        self.now = self.now + .milliseconds(1)
        let now = self.now
        let actions = self.members[asker]?.inboxHeard(
            by: isHeard ? 1 : 0,
            of: incarnation,
            over: BusLink(number: number),
            askedAt: now,
            now: now
        )
        self.perform(actions ?? [], of: asker)
    }

    func suspects(seenBy incarnation: String) -> [String] {
        self.members[incarnation]?.members(now: self.now).filter(\.isSuspect).map(\.name) ?? []
    }

    func names(seenBy incarnation: String) -> [String] {
        self.members[incarnation]?.members(now: self.now).map { "\($0.name)/\($0.incarnation)" } ?? []
    }

    func left(seenBy incarnation: String) -> [String] {
        (self.events[incarnation] ?? []).compactMap {
            if case .left(let member, let reason) = $0 { "\(member.name)/\(member.incarnation) \(reason)" } else { nil }
        }
    }

    func nameTaken(_ incarnation: String) -> String? {
        for case .nameTaken(let member) in self.events[incarnation] ?? [] { return member.incarnation }
        return nil
    }
}
