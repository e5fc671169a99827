import CrossServerBus
import NIOCore
import Testing

@testable import CrossServer

@Suite struct RoomPresenceStateTests {
    enum Step: Sendable {
        case answer(String, UInt64, [String], life: String = "1")
        case unchanged(String, UInt64)
        case counted(String, UInt64, Int)
        case changes(String, UInt64, UInt64, joined: [String] = [], left: [String] = [], life: String = "1")
        case count(String, UInt64, Int)
        case asked(String)
        case failed(String)
        case died(String)
        case left(String)
        /// All servers were asked; these live or have answered.
        case all([String])
        case wait(Int64)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var isCountOnly = false
        var grace: Int64 = 100
        var steps: [Step]
        /// `+x@a` for joined, `~x@b` for moved, `-x` for left, `ask a`, `=3` for a new count, `!a` for a new list of missing servers.
        var log: [String]

        init(_ description: String, isCountOnly: Bool = false, grace: Int64 = 100, _ steps: [Step], _ log: [String]) {
            self.testDescription = description
            self.isCountOnly = isCountOnly
            self.grace = grace
            self.steps = steps
            self.log = log
        }
    }

    static let memberCases = [
        Case(
            "answers and changes",
            [
                .answer("a", 3, ["x"]), .answer("b", 9, ["y"]), .changes("a", 3, 5, joined: ["z"]),
                .changes("b", 9, 10, left: ["y"]), .wait(99), .wait(1),
            ],
            ["+x@a", "=1", "+y@b", "=2", "+z@a", "=3", "-y", "=2"]
        ),
        Case(
            "changes that the answer had already, in part or as a whole",
            [
                .answer("a", 10, ["x"]), .changes("a", 5, 8, joined: ["old"]),
                .changes("a", 8, 12, joined: ["x", "y"]),
                .changes("a", 12, 13, left: ["nobody"]),
            ],
            ["+x@a", "=1", "+y@a", "=2"]
        ),
        Case(
            "a gap is asked for, once",
            [
                .answer("a", 1, ["x"]), .changes("a", 2, 3, joined: ["y"]), .changes("a", 3, 4, joined: ["z"]),
                .answer("a", 4, ["x", "y", "z"]), .changes("a", 4, 5, joined: ["w"]),
            ],
            ["+x@a", "=1", "ask a", "+y@a", "+z@a", "=3", "+w@a", "=4"]
        ),
        Case(
            "an answer that is older than changes that came before it",
            [
                .asked("a"), .changes("a", 5, 6, joined: ["y"]), .answer("a", 5, ["x"]), .answer("a", 6, ["x", "y"]),
            ],
            ["ask a", "+x@a", "=1", "+y@a", "=2"]
        ),
        Case(
            "an answer that is older than what is known",
            [.answer("a", 5, ["x"]), .changes("a", 5, 6, joined: ["y"]), .answer("a", 5, ["x"]), .wait(200)],
            ["+x@a", "=1", "+y@a", "=2"]
        ),
        Case(
            "changes that were dropped show as a gap",
            [.answer("a", 5, ["x"]), .changes("a", 9, 9), .answer("a", 9, [])],
            ["+x@a", "=1", "ask a"]
        ),
        Case(
            "back in time on another server",
            [
                .answer("a", 1, ["x"]), .answer("b", 1, []), .changes("a", 1, 2, left: ["x"]), .wait(99),
                .changes("b", 1, 2, joined: ["x"]), .wait(500), .changes("b", 2, 3, left: ["x"]), .wait(100),
            ],
            ["+x@a", "=1", "~x@b", "-x", "=0"]
        ),
        Case(
            "back in time and away again: the time begins anew",
            [
                .answer("a", 1, ["x"]), .changes("a", 1, 2, left: ["x"]), .wait(60), .changes("a", 2, 3, joined: ["x"]),
                .changes("a", 3, 4, left: ["x"]), .wait(60), .changes("a", 4, 5, joined: ["y"]), .wait(40),
            ],
            ["+x@a", "=1", "+y@a", "=2", "-x", "=1"]
        ),
        Case(
            "the new server tells before the old one",
            [
                .answer("a", 1, ["x"]), .answer("b", 1, []), .changes("b", 1, 2, joined: ["x"]),
                .changes("a", 1, 2, left: ["x"]), .wait(500),
            ],
            ["+x@a", "=1", "~x@b"]
        ),
        Case(
            "back on another server while the dead one is still listed",
            [
                .answer("a", 1, ["x", "y"]), .answer("b", 1, []), .failed("a"), .changes("b", 1, 2, joined: ["x"]),
                .died("a"), .left("a"), .wait(100),
            ],
            ["+x@a", "+y@a", "=2", "!a", "~x@b", "!", "-y", "=1"]
        ),
        Case(
            "on two servers until it has left both",
            [
                .answer("a", 1, ["x"]), .answer("b", 1, ["x"]), .changes("b", 1, 2, left: ["x"]), .wait(500),
                .changes("a", 1, 2, left: ["x"]), .wait(100),
            ],
            ["+x@a", "=1", "~x@b", "~x@a", "-x", "=0"]
        ),
        Case(
            "without grace",
            grace: 0,
            [.answer("a", 1, ["x", "y"]), .changes("a", 1, 2, left: ["x"]), .left("a")],
            ["+x@a", "+y@a", "=2", "-x", "=1", "-y", "=0"]
        ),
        Case(
            "a server goes",
            [.answer("a", 1, ["x", "y"]), .answer("b", 1, []), .left("a"), .answer("b", 2, ["x"]), .wait(100)],
            ["+x@a", "+y@a", "=2", "~x@b", "-y", "=1"]
        ),
        Case(
            "a server is started again",
            [
                .answer("a", 7, ["x", "y"]), .changes("a", 0, 1, joined: ["x"], life: "2"), .left("a"),
                .answer("a", 2, ["x"], life: "2"), .changes("a", 2, 3, joined: ["z"], life: "2"), .wait(100),
            ],
            ["+x@a", "+y@a", "=2", "ask a", "+z@a", "=3", "-y", "=2"]
        ),
        Case(
            "no answer, and one later",
            [.answer("a", 1, ["x"]), .failed("a"), .failed("b"), .unchanged("a", 1), .answer("b", 1, ["y"])],
            ["+x@a", "=1", "!a", "!a,b", "!b", "+y@b", "=2", "!"]
        ),
        Case(
            "a dead server is not missing",
            [.answer("a", 1, ["x"]), .asked("b"), .died("b"), .died("a"), .left("a"), .wait(100)],
            ["+x@a", "=1", "-x", "=0"]
        ),
        Case(
            "a server that nobody has heard of when all were asked",
            [.answer("a", 1, ["x"]), .answer("b", 1, ["y"]), .all(["b"]), .wait(100), .all([])],
            ["+x@a", "=1", "+y@b", "=2", "-x", "=1"]
        ),
        Case(
            "nothing new for a server that has forgotten",
            [.answer("a", 5, ["x"]), .left("a"), .unchanged("a", 5), .answer("a", 5, ["x"]), .wait(200)],
            ["+x@a", "=1", "ask a"]
        ),
        Case(
            "too many members to list",
            [
                .answer("a", 1, ["x"]), .answer("b", 1, ["y"]), .counted("a", 3, 1_000),
                .changes("a", 3, 4, joined: ["z"]), .unchanged("a", 4), .answer("a", 5, ["x"]),
            ],
            ["+x@a", "=1", "+y@b", "=2", "-x", "=1001", "!a", "=2", "+x@a", "=2", "!"]
        ),
    ]

    static let countCases = [
        Case(
            "counts",
            isCountOnly: true,
            [.counted("a", 1, 5), .counted("b", 4, 2), .count("a", 3, 9), .count("a", 2, 8), .count("c", 1, 1)],
            ["=5", "=7", "=11", "=12"]
        ),
        Case(
            "a server goes, and its count after the grace",
            isCountOnly: true,
            [.counted("a", 1, 5), .left("a"), .wait(99), .counted("b", 1, 3), .wait(1)],
            ["=5", "=8", "=3"]
        ),
        Case(
            "a server comes back",
            isCountOnly: true,
            [.counted("a", 1, 5), .left("a"), .counted("a", 1, 4), .wait(200), .failed("a"), .count("a", 2, 4)],
            ["=5", "=4", "!a", "!"]
        ),
    ]

    @Test(arguments: memberCases + countCases)
    func steps(_ test: Case) {
        var state = RoomPresenceState(isCountOnly: test.isCountOnly, grace: .milliseconds(test.grace))
        var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var log: [String] = []
        var view: [String: String] = [:]
        var (count, missing) = (0, [MissingReply]())
        for step in test.steps {
            if let server = Self.apply(step, to: &state, &now) { log.append("ask \(server)") }
            guard let change = state.takeChange() else { continue }
            log += change.joined.sorted { $0.key < $1.key }.map { "+\($0.key)@\($0.value)" }
            log += change.moved.sorted { $0.key < $1.key }.map { "~\($0.key)@\($0.value)" }
            log += change.left.sorted().map { "-\($0)" }
            if change.count != count { log.append("=\(change.count)") }
            if change.missing != missing {
                log.append("!" + change.missing.compactMap(\.server).joined(separator: ","))
            }
            (count, missing) = (change.count, change.missing)
            // Who follows the changes has the members.
            view.merge(change.joined) { $1 }
            #expect(change.moved.allSatisfy { view[$0.key] != nil && view[$0.key] != $0.value })
            view.merge(change.moved) { $1 }
            for id in change.left { view[id] = nil }
            #expect(view == state.members)
            #expect(count == state.count && missing == state.missing)
        }
        // A count that is the same is not told: the cases leave it out.
        #expect(log == Self.withoutRepeatedCounts(test.log))
    }

    private static func withoutRepeatedCounts(_ log: [String]) -> [String] {
        var last = "=0"
        return log.filter { entry in
            guard entry.hasPrefix("=") else { return true }
            defer { last = entry }
            return entry != last
        }
    }

    private static func apply(_ step: Step, to state: inout RoomPresenceState, _ now: inout NIODeadline) -> String? {
        switch step {
        case .answer(let server, let version, let ids, let life):
            let answer = RoomPresenceState.Answer(incarnation: life, version: version, count: ids.count, ids: ids)
            return state.answered(answer, by: server, now: now) ? server : nil
        case .unchanged(let server, let version):
            let answer = RoomPresenceState.Answer(incarnation: "1", version: version, count: 0, isUnchanged: true)
            return state.answered(answer, by: server, now: now) ? server : nil
        case .counted(let server, let version, let count):
            let answer = RoomPresenceState.Answer(incarnation: "1", version: version, count: count)
            return state.answered(answer, by: server, now: now) ? server : nil
        case .changes(let server, let from, let to, let joined, let left, let life):
            let changes = RoomPresenceState.Changes(
                incarnation: life,
                from: from,
                to: to,
                count: joined.count,
                joined: joined,
                left: left
            )
            return state.received(changes, from: server, now: now) ? server : nil
        case .count(let server, let version, let count):
            let changes = RoomPresenceState.Changes(incarnation: "1", from: version, to: version, count: count)
            return state.received(changes, from: server, now: now) ? server : nil
        case .asked(let server): state.asked([server])
        case .failed(let server): state.failed(server, .timeout)
        case .died(let server): state.failed(server, .died)
        case .left(let server): state.left(server, now: now)
        case .all(let servers): state.answered(by: Set(servers), unnamed: [], now: now)
        case .wait(let time):
            now = now + .milliseconds(time)
            if let deadline = state.nextDeadline(), deadline <= now { state.tick(now: now) }
        }
        return nil
    }

    @Test func changesBecomeOne() {
        var change = PresenceChange(joined: ["a": "1", "b": "1"], left: ["c"], count: 2)
        change.merge(PresenceChange(joined: ["c": "2", "d": "2"], left: ["a", "e"], count: 3))
        let first = PresenceChange(joined: ["b": "1", "d": "2"], moved: ["c": "2"], left: ["e"], count: 3)
        #expect(change == first)
        change.merge(PresenceChange(joined: [:], moved: ["b": "3", "f": "3", "c": "3"], left: ["d"], count: 2))
        let second = PresenceChange(joined: ["b": "3"], moved: ["c": "3", "f": "3"], left: ["e"], count: 2)
        #expect(change == second)
    }

    /// What waits stays in proportion to the members, however often one comes and goes.
    @Test func comingAndGoingIsBounded() {
        var state = RoomPresenceState(isCountOnly: false, grace: .hours(1))
        let now = NIODeadline.uptimeNanoseconds(1)
        _ = state.answered(.init(incarnation: "1", version: 0, count: 1, ids: ["x"]), by: "a", now: now)
        for version in stride(from: UInt64(0), to: 20_000, by: 2) {
            let left = RoomPresenceState.Changes(
                incarnation: "1",
                from: version,
                to: version + 1,
                count: 0,
                left: ["x"]
            )
            _ = state.received(left, from: "a", now: now + .nanoseconds(Int64(version)))
            let joined = RoomPresenceState.Changes(
                incarnation: "1",
                from: version + 1,
                to: version + 2,
                count: 1,
                joined: ["x"]
            )
            _ = state.received(joined, from: "a", now: now + .nanoseconds(Int64(version)))
            #expect(state.waitingCount <= 1_200)
        }
        #expect(state.members == ["x": "a"])
    }
}
