import NIOCore
import Testing

@testable import CrossServer

@Suite struct WatchedRoomsTests {
    private final class Member: RegistryMember {
        let loopIndex = 0
    }

    /// A registry whose calls can stand in expectations.
    private final class Table {
        private var registry = Registry<Member>()

        init(_ ids: [String], limits: WatchedRooms.Limits) {
            self.registry.watched = WatchedRooms(limits: limits)
            for id in ids { _ = self.registry.bind(id, to: Member()) }
        }

        func join(_ id: String, _ name: RoomName) -> Registry<Member>.JoinResult {
            self.registry.join(id, name, maximumRooms: 9)
        }

        func leave(_ id: String, _ name: RoomName) -> Bool { self.registry.leave(id, name) }
        func release(_ id: String) -> Bool { self.registry.release(id) != nil }
        func removeRoom(_ name: RoomName) { self.registry.removeRoom(name) }
        func ids(_ name: RoomName) -> [String] { self.registry.room(name)?.ids ?? [] }
        func claimDue() -> WatchedRooms.Due { self.registry.watched.claimDue() }
        func takeChanges() -> [WatchedRooms.Report] { self.registry.takeChanges() }
        func takeCounts() -> [WatchedRooms.Report] { self.registry.takeCounts() }
        func expire(now: NIODeadline) { self.registry.watched.expire(now: now) }
        var isUnwatched: Bool { self.registry.watched.isEmpty }

        func unwatch(_ topic: PresenceTopic, by server: String?, number: UInt64) {
            self.registry.watched.unwatch(topic, by: server, number: number)
        }

        func watch(
            _ question: ClusterQuestion.WatchRoom,
            by server: String? = "b",
            until: NIODeadline = .distantFuture
        ) -> ClusterQuestion.WatchRoom.Reply? {
            self.registry.watch(question, by: server, incarnation: "i", until: until)
        }
    }

    private let lobby = RoomName(namespace: "chat", room: "lobby")
    private let start = NIODeadline.uptimeNanoseconds(1)

    private func table(_ ids: [String], limits: WatchedRooms.Limits = .init()) -> Table {
        Table(ids, limits: limits)
    }

    private func question(
        _ room: RoomName? = nil,
        isCountOnly: Bool = false,
        number: UInt64 = 1,
        known: UInt64? = nil
    ) -> ClusterQuestion.WatchRoom {
        let room = room ?? self.lobby
        return ClusterQuestion.WatchRoom(
            namespace: room.namespace,
            room: room.room,
            isCountOnly: isCountOnly,
            number: number,
            known: known.map { ["i": $0] } ?? [:]
        )
    }

    @Test func changesAreToldOnceTogether() throws {
        let table = self.table(["1", "2", "3"])
        #expect(table.join("1", self.lobby) == .joined)
        #expect(table.claimDue() == .init(), "nobody watches")
        let answer = try #require(table.watch(self.question()))
        #expect(answer.ids == ["1"])
        #expect(answer.count == 1)
        #expect(table.join("2", self.lobby) == .joined)
        #expect(table.claimDue() == .init(changes: true))
        #expect(table.leave("1", self.lobby))
        #expect(table.join("3", self.lobby) == .joined)
        #expect(table.release("3"))
        #expect(table.claimDue() == .init(), "it is seen to")
        let report = try #require(table.takeChanges().first)
        #expect(report.joined == ["2"])
        #expect(Set(report.left) == ["1", "3"])
        #expect(report.from == answer.version)
        #expect(report.to > report.from)
        #expect(report.count == 1)
        #expect(report.isForOthers && !report.isForThisServer)
        #expect(table.takeChanges().isEmpty)
        table.removeRoom(self.lobby)
        #expect(table.claimDue() == .init(changes: true))
        let last = try #require(table.takeChanges().first)
        #expect(last.left == ["2"])
        #expect(last.from == report.to)
        #expect(last.count == 0)
    }

    @Test func whoKnowsTheMembersGetsThemNotAgain() throws {
        let table = self.table(["1", "2"])
        let first = try #require(table.watch(self.question()))
        _ = table.join("1", self.lobby)
        // Its changes are on their way.
        let second = try #require(
            table.watch(self.question(known: first.version))
        )
        #expect(second.isUnchanged && second.version == first.version && second.ids == nil)
        let report = try #require(table.takeChanges().first)
        let third = try #require(
            table.watch(self.question(known: first.version))
        )
        #expect(third.ids == ["1"] && !third.isUnchanged && third.version == report.to)
        for unknown in [report.to + 1, .max] {
            let answer = table.watch(self.question(known: unknown))
            #expect(answer?.ids == ["1"])
        }
    }

    @Test func whatHappenedWhileNobodyWatchedIsAGap() throws {
        let table = self.table(["1", "2"])
        let first = try #require(table.watch(self.question()))
        table.unwatch(self.question().topic, by: "b", number: 2)
        _ = table.join("1", self.lobby)
        let second = try #require(
            table.watch(self.question(known: first.version))
        )
        #expect(second.ids == ["1"])
        #expect(second.version > first.version)
    }

    @Test func countsAreToldWhenTheyDiffer() throws {
        let table = self.table(["1", "2"])
        let answer = try #require(
            table.watch(self.question(isCountOnly: true), by: nil)
        )
        #expect(answer.ids == nil && answer.count == 0)
        _ = table.join("1", self.lobby)
        #expect(table.claimDue() == .init(counts: true))
        let report = try #require(table.takeCounts().first)
        #expect(report.count == 1 && report.joined.isEmpty && report.isForThisServer && !report.isForOthers)
        _ = table.join("2", self.lobby)
        _ = table.leave("1", self.lobby)
        #expect(table.claimDue() == .init(counts: true))
        #expect(table.takeCounts().isEmpty)
        #expect(table.takeChanges().isEmpty)
    }

    @Test func watchingEnds() throws {
        let table = self.table(["1"])
        let until = self.start + .seconds(30)
        for server in ["b", "c", nil] {
            #expect(table.watch(self.question(number: 5), by: server, until: until) != nil)
        }
        let counts = self.question(isCountOnly: true)
        #expect(table.watch(counts, by: "b", until: until + .seconds(1)) != nil)
        table.unwatch(self.question().topic, by: nil, number: 9)
        // Older than the question.
        table.unwatch(self.question().topic, by: "b", number: 4)
        _ = table.join("1", self.lobby)
        #expect(table.takeChanges().first?.isForOthers == true)
        table.unwatch(self.question().topic, by: "b", number: 6)
        table.expire(now: until - .nanoseconds(1))
        _ = table.leave("1", self.lobby)
        #expect(table.takeChanges().count == 1)
        _ = table.join("1", self.lobby)
        table.expire(now: until)
        #expect(table.takeChanges().isEmpty)
        #expect(table.takeCounts().count == 1)
        #expect(!table.isUnwatched)
        table.expire(now: until + .seconds(1))
        #expect(table.isUnwatched)
        _ = table.leave("1", self.lobby)
        #expect(table.claimDue() == .init())
    }

    @Test func limits() throws {
        var limits = WatchedRooms.Limits()
        limits.rooms = 2
        limits.watchers = 1
        limits.members = 2
        limits.memberBytes = 5
        limits.changes = 2
        let table = self.table(["1", "22", "3", "four44"], limits: limits)
        let first = try #require(table.watch(self.question()))
        #expect(table.watch(self.question(), by: "c") == nil)
        let others = (0..<2).map { RoomName(namespace: "chat", room: "\($0)") }
        #expect(table.watch(self.question(others[0])) != nil)
        #expect(table.watch(self.question(others[1])) == nil)
        for id in ["1", "22", "3"] { _ = table.join(id, self.lobby) }
        let report = try #require(table.takeChanges().first)
        #expect(report.from == report.to && report.from > first.version, "a gap instead of too many changes")
        #expect(report.joined.isEmpty)
        let large = try #require(table.watch(self.question()))
        #expect(large.ids == nil && large.count == 3 && !large.isUnchanged)
        _ = table.leave("3", self.lobby)
        let small = try #require(table.watch(self.question()))
        #expect(small.ids.map { Set($0) } == ["1", "22"])
        _ = table.leave("22", self.lobby)
        _ = table.join("four44", self.lobby)
        #expect(table.watch(self.question())?.ids == nil, "too many bytes")
    }

    /// Changes get lost, come late and in another order: who asks in the end has it all.
    @Test(arguments: 1...20)
    func whatIsLostIsRepaired(seed: UInt64) throws {
        var generator = SplitMix(state: seed)
        let table = self.table((0..<10).map { "\($0)" })
        var state = RoomPresenceState(isCountOnly: false, grace: .zero)
        var view: Set<String> = []
        var waiting: [WatchedRooms.Report] = []
        var answers: [ClusterQuestion.WatchRoom.Reply] = []
        let ask: (RoomPresenceState) throws -> ClusterQuestion.WatchRoom.Reply = { state in
            let question = self.question(known: state.known["i"])
            let answer = table.watch(question)
            return try #require(answer)
        }
        answers.append(try ask(state))
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<8, using: &generator) {
            case 0...2:
                let id = "\(Int.random(in: 0..<10, using: &generator))"
                if table.join(id, self.lobby) == .alreadyIn { _ = table.leave(id, self.lobby) }
            case 3: waiting += table.takeChanges()
            case 4 where !waiting.isEmpty: waiting.remove(at: .random(in: waiting.indices, using: &generator))
            case 5 where !answers.isEmpty:
                let answer = answers.remove(at: .random(in: answers.indices, using: &generator))
                if state.answered(answer, by: "a", now: self.start) { answers.append(try ask(state)) }
            case 6: if answers.isEmpty { answers.append(try ask(state)) }
            default:
                guard !waiting.isEmpty else { continue }
                let index = Bool.random(using: &generator) ? 0 : Int.random(in: waiting.indices, using: &generator)
                if Self.deliver(waiting.remove(at: index), &state, self.start) { answers.append(try ask(state)) }
            }
            guard let change = state.takeChange() else { continue }
            view.formUnion(change.joined.keys)
            view.subtract(change.left)
            #expect(view == Set(state.members.keys))
        }
        // From now on nothing is lost.
        for report in table.takeChanges() { _ = Self.deliver(report, &state, self.start) }
        for _ in 0..<2 { _ = state.answered(try ask(state), by: "a", now: self.start) }
        #expect(Set(state.members.keys) == Set(table.ids(self.lobby)))
    }

    private static func deliver(
        _ report: WatchedRooms.Report,
        _ state: inout RoomPresenceState,
        _ now: NIODeadline
    ) -> Bool {
        let changes = ClusterQuestion.RoomChanges(
            incarnation: "i",
            from: report.from,
            to: report.to,
            count: report.count,
            joined: report.joined,
            left: report.left
        )
        return state.received(changes, from: "a", now: now)
    }
}
