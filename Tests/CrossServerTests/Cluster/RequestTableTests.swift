import NIOCore
import Testing

@testable import CrossServer

@Suite struct RequestTableTests {
    typealias Table = RequestTable<String>

    static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    static let deadline = Self.start + .seconds(5)

    static func table(
        targets: [String]? = nil,
        expected: Int? = nil,
        local: String? = nil
    ) -> (Table, Table.Number) {
        var table = Table()
        let number = table.open("sink", targets: targets, expected: expected, local: local, deadline: Self.deadline)
        return (table, number)
    }

    @Test func endsWhenAllTargetsHaveAnswered() throws {
        var (table, number) = Self.table(targets: ["a", "b"])
        let first = try table.reply(number, from: "b").get()
        #expect(first.reply?.server == "b")
        #expect(first.reply?.remaining == 1)
        #expect(first.end == nil)
        let second = try table.reply(number, from: "a").get()
        #expect(second.reply?.remaining == 0)
        #expect(second.end == RequestEnd(missing: []))
        #expect(table.count == 0)
    }

    @Test func aServerCountsOnce() throws {
        var (table, number) = Self.table(targets: ["a", "b"])
        _ = try table.reply(number, from: "a").get()
        #expect(Self.ignored(table.reply(number, from: "a")) == .repeated)
        #expect(table.count == 1)
    }

    @Test func whoIsUnreachableIsMissingFromTheBeginning() throws {
        let missing = MissingReply(server: "x", reason: .unreachable)
        func open(_ targets: [String]?, awaited: [String] = []) -> (Table, Table.Number) {
            var table = Table()
            let number = table.open(
                "sink",
                targets: targets,
                awaited: awaited,
                unreachable: ["x"],
                expected: nil,
                local: nil,
                deadline: Self.deadline
            )
            return (table, number)
        }
        var (table, number) = open(["a", "x"])
        #expect(try table.reply(number, from: "a").get().end == RequestEnd(missing: [missing]))
        (table, number) = open(["x"])
        #expect(table.published(number, receivers: 0)?.end == RequestEnd(missing: [missing]))
        // Redis gave the request to one of whom nothing is known.
        (table, number) = open(nil, awaited: ["a"])
        #expect(table.published(number, receivers: 2) == nil)
        #expect(try table.reply(number, from: "a").get().reply?.remaining == 1)
        #expect(try table.reply(number, from: "original").get().end == RequestEnd(missing: [missing]))
    }

    @Test func aServerThatIsNamedTwiceIsExpectedOnce() throws {
        var (table, number) = Self.table(targets: ["a", "a"])
        #expect(try table.reply(number, from: "a").get().end == RequestEnd(missing: []))
    }

    @Test func whoWasNotAskedIsIgnored() {
        var (table, number) = Self.table(targets: ["a"])
        #expect(Self.ignored(table.reply(number, from: "x")) == .notAsked)
    }

    @Test func lateAndForgedRepliesAreIgnored() {
        var (table, number) = Self.table(targets: ["a"])
        #expect(Self.ignored(table.reply(number + 1, from: "a")) == .notWaiting)
        #expect(table.expire(now: Self.deadline).count == 1)
        #expect(Self.ignored(table.reply(number, from: "a")) == .notWaiting)
    }

    @Test func theDeadlineNamesWhoIsMissing() throws {
        var (table, number) = Self.table(targets: ["c", "a", "b"])
        _ = try table.reply(number, from: "a").get()
        #expect(table.expire(now: Self.deadline - .nanoseconds(1)).isEmpty)
        let actions = table.expire(now: Self.deadline)
        #expect(actions.count == 1)
        #expect(actions.first?.reply == nil)
        let missing = ["c", "b"].map { MissingReply(server: $0, reason: .timeout) }
        #expect(actions.first?.end == RequestEnd(missing: missing))
    }

    @Test func everyoneIsAsManyAsHeardIt() throws {
        var (table, number) = Self.table(local: "self")
        #expect(try table.reply(number, from: "a").get().reply?.remaining == nil)
        #expect(table.published(number, receivers: 2) == nil)
        #expect(try table.reply(number, from: "self").get().end == nil)
        #expect(try table.reply(number, from: "b").get().end == RequestEnd(missing: []))
    }

    @Test func answersMayComeBeforeItIsKnownHowManyHeardIt() throws {
        var (table, number) = Self.table()
        for server in ["a", "b"] { #expect(try table.reply(number, from: server).get().end == nil) }
        #expect(table.published(number, receivers: 2)?.end == RequestEnd(missing: []))
    }

    @Test func anExpectedNumberEndsTheRequest() throws {
        var (table, number) = Self.table(expected: 1)
        #expect(table.published(number, receivers: 7) == nil)
        #expect(try table.reply(number, from: "a").get().end == RequestEnd(missing: []))
    }

    @Test func whoeverIsMissingOfEveryoneHasNoName() throws {
        var (table, number) = Self.table()
        #expect(table.published(number, receivers: 3) == nil)
        _ = try table.reply(number, from: "a").get()
        let missing = MissingReply(server: nil, reason: .timeout)
        #expect(table.expire(now: Self.deadline).first?.end == RequestEnd(missing: [missing, missing]))
    }

    @Test func aRequestThatNobodyIsKnownToHearEndsWithAReason() {
        var (table, _) = Self.table()
        let missing = MissingReply(server: nil, reason: .timeout)
        #expect(table.expire(now: Self.deadline).first?.end == RequestEnd(missing: [missing]))
    }

    @Test func whatWasNotSentEndsAtOnce() {
        var (table, number) = Self.table(targets: ["a", "b"])
        let action = table.notPublished(number, reason: .notSent("down"))
        let missing = ["a", "b"].map { MissingReply(server: $0, reason: .notSent("down")) }
        #expect(action?.end == RequestEnd(missing: missing))
        #expect(table.count == 0)
    }

    @Test func whatWasNotSentStillWaitsForThisServer() throws {
        var (table, number) = Self.table(targets: ["self", "a"], local: "self")
        #expect(table.notPublished(number, reason: .notSent("down")) == nil)
        let action = try table.reply(number, from: "self").get()
        #expect(action.reply?.server == "self")
        #expect(action.end == RequestEnd(missing: [MissingReply(server: "a", reason: .notSent("down"))]))
    }

    @Test func everyoneIsThoseThatAreKnownAndOthersThatHeardIt() throws {
        var table = Table()
        let number = table.open(
            "sink",
            targets: nil,
            awaited: ["a", "b"],
            expected: nil,
            local: "self",
            deadline: Self.deadline
        )
        #expect(table.published(number, receivers: 3) == nil)
        #expect(try table.reply(number, from: "self").get().reply?.remaining == 3)
        #expect(try table.reply(number, from: "original").get().reply?.remaining == 2)
        #expect(try table.reply(number, from: "a").get().end == nil)
        let missing = MissingReply(server: "b", reason: .timeout)
        #expect(table.expire(now: Self.deadline).first?.end == RequestEnd(missing: [missing]))
    }

    @Test func waitingEndsWithTheDeathOfTheLastOne() throws {
        var table = Table()
        let number = table.open(
            "sink",
            targets: nil,
            awaited: ["a", "b"],
            expected: nil,
            local: nil,
            deadline: Self.deadline
        )
        #expect(table.published(number, receivers: 1) == nil)
        #expect(table.gone("b", reason: .died).isEmpty)
        #expect(table.gone("x", reason: .died).isEmpty)
        let missing = MissingReply(server: "b", reason: .died)
        #expect(try table.reply(number, from: "a").get().end == RequestEnd(missing: [missing]))
        let (named, second) = Self.table(targets: ["a", "b"])
        table = named
        _ = try table.reply(second, from: "a").get()
        #expect(table.gone("b", reason: .stopped).first?.end?.missing.map(\.reason) == [.stopped])
    }

    @Test func whoWasThoughtDeadMayAnswer() throws {
        var (table, number) = Self.table(targets: ["a", "b"])
        #expect(table.gone(number, "a", reason: .died) == nil)
        #expect(try table.reply(number, from: "a").get().end == nil)
        #expect(try table.reply(number, from: "b").get().end == RequestEnd(missing: []))
    }

    @Test func whoDeclinesIsNotMissing() throws {
        var (table, number) = Self.table()
        #expect(table.declined(number, by: "tool") == nil)
        #expect(table.published(number, receivers: 2) == nil)
        #expect(try table.reply(number, from: "a").get().end == RequestEnd(missing: []))
    }

    @Test func nobodyIsToldOfACancelledRequest() {
        var (table, number) = Self.table(targets: ["a"])
        #expect(table.cancel(number) == "sink")
        #expect(table.cancel(number) == nil)
        #expect(Self.ignored(table.reply(number, from: "a")) == .notWaiting)
        #expect(table.expire(now: Self.deadline).isEmpty)
    }

    @Test func theEndOfAllNamesTheReason() {
        var table = Table()
        for index in 0..<3 {
            _ = table.open("sink \(index)", targets: ["a"], expected: nil, local: nil, deadline: Self.deadline)
        }
        let actions = table.endAll(.stopping)
        #expect(actions.map(\.sink) == ["sink 0", "sink 1", "sink 2"])
        #expect(actions.allSatisfy { $0.end?.missing.map(\.reason) == [.stopping] })
        #expect(table.count == 0)
    }

    /// Requests that end early must not leave their deadlines behind for ever.
    @Test func manyRequestsWithOneThatWaits() throws {
        var table = Table()
        let waiting = table.open("waits", targets: ["a"], expected: nil, local: nil, deadline: Self.deadline)
        for _ in 0..<100_000 {
            let number = table.open("", targets: ["a"], expected: nil, local: nil, deadline: Self.deadline + .hours(1))
            #expect(try table.reply(number, from: "a").get().end != nil)
        }
        #expect(table.deadlineCount < 2_000)
        #expect(table.expire(now: Self.deadline).map(\.sink) == ["waits"])
        #expect(Self.ignored(table.reply(waiting, from: "a")) == .notWaiting)
    }

    static func ignored(_ result: Result<Table.Action, Table.Ignored>) -> Table.Ignored? {
        if case .failure(let ignored) = result { ignored } else { nil }
    }
}
