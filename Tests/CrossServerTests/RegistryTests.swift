import Testing

@testable import CrossServer

@Suite struct RegistryTests {
    final class Member: RegistryMember {
        let loopIndex: Int
        init(_ loopIndex: Int) { self.loopIndex = loopIndex }
    }

    private typealias Table = Registry<Member>

    private let lobby = RoomName(namespace: "chat", room: "lobby")

    @Test func roomsAreKeptPerLoop() {
        var table = Table()
        let members = (0..<6).map { Member($0 % 3) }
        for (index, member) in members.enumerated() {
            #expect(table.bind("\(index)", to: member) == nil)
            #expect(table.join("\(index)", self.lobby, maximumRooms: 9) == .joined)
        }
        #expect(table.room(self.lobby)?.membersByLoop.map(\.count) == [2, 2, 2])
        #expect(table.leave("1", self.lobby) == true)
        #expect(table.leave("1", self.lobby) == false)
        #expect(
            table.room(self.lobby)?.membersByLoop[1].all.map(ObjectIdentifier.init) == [ObjectIdentifier(members[4])]
        )
        #expect(table.room(self.lobby)?.count == 5)
    }

    /// Any order of joining and leaving leaves the same members as sets of ids would.
    @Test func agreesWithASimpleModel() {
        var generator = SplitMix(state: 7)
        var table = Table()
        var model: [Int: Set<String>] = [:]
        let members = (0..<20).map { Member($0 % 4) }
        for (index, member) in members.enumerated() { _ = table.bind("\(index)", to: member) }
        for _ in 0..<5_000 {
            let id = Int.random(in: 0..<20, using: &generator)
            let room = Int.random(in: 0..<4, using: &generator)
            let name = RoomName(namespace: "n\(room % 2)", room: "\(room)")
            if Bool.random(using: &generator) {
                let isNew = model[room, default: []].insert("\(id)").inserted
                #expect(table.join("\(id)", name, maximumRooms: 99) == (isNew ? .joined : .alreadyIn))
            } else {
                let wasIn = model[room, default: []].remove("\(id)") != nil
                #expect(table.leave("\(id)", name) == wasIn)
            }
            let wanted = model[room] ?? []
            #expect(Set(table.room(name)?.ids ?? []) == wanted)
            let objects = Set((table.room(name)?.membersByLoop ?? []).flatMap { $0.all }.map(ObjectIdentifier.init))
            #expect(objects == Set(wanted.map { ObjectIdentifier(members[Int($0) ?? 0]) }))
        }
        for index in 0..<20 { _ = table.release("\(index)") }
        #expect(table.namespaces.isEmpty)
        #expect(table.members.isEmpty)
    }

    @Test func aStaleConnectionReleasesNothing() {
        var table = Table()
        let (old, new) = (Member(0), Member(1))
        #expect(table.bind("7", to: old) == nil)
        #expect(table.join("7", self.lobby, maximumRooms: 9) == .joined)
        #expect(table.bind("7", to: new) === old)
        #expect(table.release("7", heldBy: old) == nil)
        #expect(table.members["7"] === new)
        // The new connection has taken over the rooms.
        #expect(table.room(self.lobby)?.membersByLoop.map(\.count) == [0, 1])
        #expect(table.release("7", heldBy: new) === new)
        #expect(table.room(self.lobby) == nil)
        #expect(table.namespaces.isEmpty)
    }

    @Test func bindingTheSameConnectionAgainReplacesNothing() {
        var table = Table()
        let member = Member(0)
        #expect(table.bind("7", to: member) == nil)
        #expect(table.bind("7", to: member) == nil)
    }

    @Test func limitsAndUnknownMembers() {
        var table = Table()
        #expect(table.join("7", self.lobby, maximumRooms: 9) == .unknownMember)
        _ = table.bind("7", to: Member(0))
        #expect(table.join("7", self.lobby, maximumRooms: 1) == .joined)
        #expect(table.join("7", .init(namespace: "chat", room: "other"), maximumRooms: 1) == .tooManyRooms)
        #expect(table.join("7", self.lobby, maximumRooms: 1) == .alreadyIn)
    }

    @Test func namespacesOfOneMemberAreBounded() {
        var table = Table()
        _ = table.bind("7", to: Member(0))
        func join(_ namespace: String, _ room: String) -> Table.JoinResult {
            table.join("7", .init(namespace: namespace, room: room), maximumRooms: 9, maximumNamespaces: 2)
        }
        let first = [join("a", "1"), join("a", "2"), join("b", "1"), join("c", "1"), join("b", "2")]
        #expect(first == [.joined, .joined, .joined, .tooManyNamespaces, .joined])
        _ = table.leave("7", .init(namespace: "b", room: "1"))
        let stillFull = join("c", "1")
        _ = table.leave("7", .init(namespace: "b", room: "2"))
        let free = join("c", "1")
        #expect(stillFull == .tooManyNamespaces && free == .joined)
    }

    @Test func removingARoomTakesEveryoneOut() {
        var table = Table()
        _ = table.bind("7", to: Member(0))
        _ = table.join("7", self.lobby, maximumRooms: 9)
        table.removeRoom(self.lobby)
        #expect(table.rooms(of: "7").isEmpty)
        #expect(table.namespaces.isEmpty)
    }
}

@Suite struct MemberListTests {
    /// Through all sizes of its tree, forth and back, with copies that must not change.
    @Test func agreesWithAnArray() {
        var generator = SplitMix(state: 3)
        var list = MemberList<Int>()
        var model: [Int] = []
        var copies: [(list: MemberList<Int>, model: [Int])] = []
        for step in 0..<30_000 {
            let grows = step % 15_000 < 9_000
            if Int.random(in: 0..<10, using: &generator) < (grows ? 9 : 1) || model.isEmpty {
                list.append(step)
                model.append(step)
            } else {
                list.removeLast()
                model.removeLast()
            }
            if let index = model.indices.randomElement(using: &generator) {
                list[index] = -step
                model[index] = -step
                #expect(list[index] == -step)
            }
            #expect(list.count == model.count && list.isEmpty == model.isEmpty)
            if step % 1_000 == 0 {
                #expect(list.all == model)
                copies.append((list, model))
            }
        }
        for copy in copies { #expect(copy.list.all == copy.model) }
    }

    /// A join costs the same in a room of any size, also while a broadcast has the members.
    @Test func aChangeCopiesLittleWhileACopyIsKept() {
        func join(_ size: Int) -> Duration {
            var list = MemberList<RegistryTests.Member>()
            let member = RegistryTests.Member(0)
            for _ in 0..<size { list.append(member) }
            let times = (0..<5).map { _ in
                ContinuousClock().measure {
                    for _ in 0..<500 {
                        let copy = list
                        list.append(member)
                        withExtendedLifetime(copy) {}
                    }
                }
            }
            return times.min() ?? .zero
        }
        let (small, large) = (join(100), join(200_000))
        #expect(large < small * 50, "\(small) in a small room, \(large) in a large one")
    }
}

extension MemberList {
    var all: [Member] {
        var all: [Member] = []
        self.forEachPiece { all += $0 }
        return all
    }
}

/// Repeatable randomness.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
