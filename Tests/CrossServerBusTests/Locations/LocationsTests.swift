import NIOCore
import Testing

@testable import CrossServerBus

@Suite struct LocationsTests {
    private typealias Decision = Locations.Decision

    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let holder = Holder(name: "b", incarnation: "1")
    private let other = Holder(name: "c", incarnation: "2")

    private func frame(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    private func make(_ change: (inout Locations.Limits) -> Void = { _ in }) -> Locations {
        var limits = Locations.Limits()
        change(&limits)
        return Locations(limits: limits, start: 100) { _ in .withdrawn }
    }

    private func shared(_ dispatches: [Locations.Dispatch]) -> [String] {
        dispatches.map { dispatch in
            guard case .shared = dispatch.route else { return "not shared" }
            return String(buffer: dispatch.frame)
        }
    }

    /// An id that is located at ``holder`` in epoch 102.
    private func located(_ change: (inout Locations.Limits) -> Void = { _ in }) -> Locations {
        var locations = self.make(change)
        #expect(locations.send(self.frame("1"), to: "x", now: self.start) == .send(.shared(ask: 101)))
        let dispatches = locations.answered(
            "x",
            ask: 101,
            by: self.holder,
            connectedFor: .seconds(9),
            now: self.start
        )
        #expect(dispatches.isEmpty)
        return locations
    }

    @Test func asksUntilAnsweredAndThenSendsToTheHolder() {
        var locations = self.make()
        #expect(locations.send(self.frame("1"), to: "x", now: self.start) == .send(.shared(ask: 101)))
        #expect(locations.send(self.frame("1"), to: "y", now: self.start) == .send(.shared(ask: 102)))
        #expect(locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start).isEmpty)
        for number in 1...3 as ClosedRange<UInt64> {
            #expect(
                locations.send(self.frame("2"), to: "x", now: self.start)
                    == .send(.inbox(self.holder, epoch: 103, number: number))
            )
        }
        #expect(locations.send(self.frame("2"), to: "y", now: self.start) == .send(.shared(ask: 104)))
    }

    @Test func theNumberOfWhatCouldNotBeSentGoesToTheNext() {
        var locations = self.located()
        let first = ClientRoute.inbox(self.holder, epoch: 102, number: 1)
        #expect(locations.send(self.frame("1"), to: "x", now: self.start) == .send(first))
        let second = ClientRoute.inbox(self.holder, epoch: 102, number: 2)
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == .send(second))
        locations.notSent("x", first)
        locations.notSent("x", second)
        #expect(locations.send(self.frame("3"), to: "x", now: self.start) == .send(second))
    }

    @Test func waitsForTheLastAnswerBeforeItChangesTheWay() {
        var locations = self.make()
        for _ in 0..<3 { _ = locations.send(self.frame("1"), to: "x", now: self.start) }
        #expect(locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start).isEmpty)
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == .hold)
        #expect(locations.answered("x", ask: 102, by: self.holder, connectedFor: .zero, now: self.start).isEmpty)
        #expect(locations.send(self.frame("3"), to: "x", now: self.start) == .hold)
        let released = locations.answered("x", ask: 103, by: self.holder, connectedFor: .zero, now: self.start)
        #expect(released.map { String(buffer: $0.frame) } == ["2", "3"])
        #expect(released.map(\.route) == [1, 2].map { .inbox(self.holder, epoch: 104, number: $0) })
        #expect(locations.heldMessages == 0 && locations.heldBytes == 0)
    }

    @Test func anAnswerThatDoesNotComeIsNotWaitedForLong() {
        var locations = self.make()
        for _ in 0..<2 { _ = locations.send(self.frame("1"), to: "x", now: self.start) }
        _ = locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start)
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == .hold)
        #expect(locations.tick(now: self.start + .milliseconds(999)).isEmpty)
        #expect(self.shared(locations.tick(now: self.start + .seconds(1))) == ["2"])
        // The former asks count no more.
        #expect(locations.answered("x", ask: 102, by: self.holder, connectedFor: .zero, now: self.start).isEmpty)
        guard case .send(.shared) = locations.send(self.frame("3"), to: "x", now: self.start) else {
            Issue.record("still asking")
            return
        }
    }

    @Test func whatComesBackIsSentAgainInOrderBeforeWhatWaits() {
        var locations = self.located()
        for text in ["2", "3", "4"] { _ = locations.send(self.frame(text), to: "x", now: self.start) }
        #expect(locations.refused("x", epoch: 102, number: 2, frame: self.frame("3"), now: self.start).isEmpty)
        #expect(locations.send(self.frame("5"), to: "x", now: self.start) == .hold)
        let sent = locations.refused("x", epoch: 102, number: 3, frame: self.frame("4"), now: self.start)
        #expect(self.shared(sent) == ["3", "4", "5"])
        #expect(locations.heldMessages == 0 && locations.heldBytes == 0 && locations.waiting.isEmpty)
        // The new location has another epoch.
        guard case .shared(let ask?)? = sent.last?.route else { return }
        _ = locations.answered("x", ask: ask, by: self.other, connectedFor: .zero, now: self.start)
        let decision = locations.send(self.frame("6"), to: "x", now: self.start)
        #expect(decision == .send(.inbox(self.other, epoch: ask + 1, number: 1)))
        // A message of the former epoch comes too late to be sent in order.
        #expect(locations.refused("x", epoch: 102, number: 1, frame: self.frame("2"), now: self.start).isEmpty)
        #expect(locations.lateRefusals == 1)
    }

    @Test func refusalsThatDoNotComeAreNotWaitedForLong() {
        var locations = self.located()
        for text in ["2", "3", "4"] { _ = locations.send(self.frame(text), to: "x", now: self.start) }
        _ = locations.refused("x", epoch: 102, number: 2, frame: self.frame("3"), now: self.start)
        _ = locations.send(self.frame("5"), to: "x", now: self.start)
        #expect(self.shared(locations.tick(now: self.start + .seconds(1))) == ["3", "5"])
        #expect(locations.refused("x", epoch: 102, number: 3, frame: self.frame("4"), now: self.start).isEmpty)
        #expect(locations.lateRefusals == 1)
    }

    @Test func theEndOfTheHolderEndsTheLocation() {
        var locations = self.located()
        _ = locations.serverLeft(self.other, now: self.start)
        let inbox = Decision.send(.inbox(self.holder, epoch: 102, number: 1))
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == inbox)
        // It may be said yet that nobody has received what was sent last.
        let now = self.start + .milliseconds(500)
        _ = locations.serverLeft(self.holder, now: now)
        #expect(locations.send(self.frame("3"), to: "x", now: now) == .hold)
        let frame = self.frame("2")
        #expect(self.shared(locations.refused("x", epoch: 102, number: 1, frame: frame, now: now)) == ["2", "3"])
        // When that was long ago there is nothing to wait for.
        locations = self.located()
        _ = locations.send(self.frame("2"), to: "x", now: self.start)
        _ = locations.serverLeft(self.holder, now: self.start + .seconds(1))
        let next = locations.send(self.frame("3"), to: "x", now: self.start + .seconds(1))
        #expect(next == .send(.shared(ask: 103)))
    }

    @Test func whatMustGoToAllWaitsForWhatWasSentToTheHolder() {
        let toAll = Decision.send(.shared(ask: nil))
        var locations = self.make()
        #expect(locations.send(self.frame("1"), to: "x", toAll: true, now: self.start) == toAll)
        #expect(locations.count == 0)
        // Nothing is under way to the holder.
        locations = self.located()
        #expect(locations.holder(of: "x") == self.holder)
        #expect(locations.send(self.frame("2"), to: "x", toAll: true, now: self.start) == toAll)
        #expect(locations.holder(of: "x") == nil)
        // An answer of before says nothing of the message that went to all after it.
        _ = locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start)
        #expect(locations.send(self.frame("3"), to: "x", now: self.start) == .send(.shared(ask: 103)))
        // Something may be.
        locations = self.located()
        _ = locations.send(self.frame("2"), to: "x", now: self.start)
        let now = self.start + .milliseconds(400)
        #expect(locations.send(self.frame("3"), to: "x", toAll: true, now: now) == .hold)
        #expect(locations.tick(now: self.start + .milliseconds(999)).isEmpty)
        #expect(self.shared(locations.tick(now: self.start + .seconds(1))) == ["3"])
        #expect(locations.send(self.frame("4"), to: "x", toAll: true, now: self.start + .seconds(1)) == toAll)
    }

    @Test func whatAHolderSendsBackGoesWhereTheClientHasMoved() {
        // Nothing is under way.
        var locations = self.located()
        _ = locations.moved("x", to: self.other, now: self.start)
        #expect(locations.holder(of: "x") == self.other)
        let first = Decision.send(.inbox(self.other, epoch: 103, number: 1))
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == first)
        // Something is: the former holder has it, and decides.
        locations = self.located()
        _ = locations.send(self.frame("2"), to: "x", now: self.start)
        _ = locations.moved("x", to: self.other, now: self.start)
        let second = Decision.send(.inbox(self.holder, epoch: 102, number: 2))
        #expect(locations.send(self.frame("3"), to: "x", now: self.start) == second)
        let sent = locations.refused("x", epoch: 102, number: 2, frame: self.frame("3"), now: self.start)
        #expect(sent.map { String(buffer: $0.frame) } == ["3"])
        #expect(sent.map(\.route) == [.inbox(self.other, epoch: 103, number: 1)])
        // The new one does not have it any more.
        #expect(
            self.shared(locations.refused("x", epoch: 103, number: 1, frame: self.frame("3"), now: self.start)) == ["3"]
        )
        // It is known while refusals are awaited.
        locations = self.located()
        for text in ["2", "3"] { _ = locations.send(self.frame(text), to: "x", now: self.start) }
        _ = locations.refused("x", epoch: 102, number: 1, frame: self.frame("2"), now: self.start)
        _ = locations.moved("x", to: self.other, now: self.start)
        let rest = locations.refused("x", epoch: 102, number: 2, frame: self.frame("3"), now: self.start)
        #expect(rest.map(\.route) == [1, 2].map { .inbox(self.other, epoch: 103, number: $0) })
    }

    @Test func whereAClientHasMovedIsForgottenWhenItIsOfNoUse() {
        func sentBack(_ change: (inout Locations) -> Void) -> [String] {
            var locations = self.located()
            _ = locations.send(self.frame("2"), to: "x", now: self.start)
            _ = locations.moved("x", to: self.other, now: self.start)
            change(&locations)
            return self.shared(
                locations.refused("x", epoch: 102, number: 1, frame: self.frame("2"), now: self.start)
            )
        }
        let wasBack = sentBack { _ = $0.moved("x", to: self.holder, now: self.start) }
        #expect(wasBack == ["2"])
        let wasLeft = sentBack { _ = $0.serverLeft(self.other, now: self.start) }
        #expect(wasLeft == ["2"])
        #expect(sentBack { _ in } == ["not shared"])
        var locations = self.make()
        _ = locations.moved("x", to: self.other, now: self.start)
        #expect(locations.count == 0)
    }

    @Test func asksOfOneMessageFollowEachOther() {
        var locations = self.located()
        for (id, ask) in [("y", 103), ("z", 104)] as [(String, UInt64)] {
            #expect(locations.send(self.frame("2"), to: id, now: self.start) == .send(.shared(ask: ask)))
            let inbox = Decision.send(.inbox(self.holder, epoch: 102, number: ask - 102))
            #expect(locations.send(self.frame("2"), to: "x", now: self.start) == inbox)
        }
    }

    @Test func aClientThatConnectsHereIsOwedNothingFromBefore() {
        var locations = self.located()
        _ = locations.send(self.frame("2"), to: "x", now: self.start)
        let now = self.start + .milliseconds(400)
        #expect(locations.connectedHere("x", now: now).isEmpty)
        #expect(locations.connectedHere("y", now: now).isEmpty)
        // Gone again: what was sent to the former holder must not come after this.
        #expect(locations.send(self.frame("3"), to: "x", now: now) == .hold)
        #expect(locations.refused("x", epoch: 102, number: 1, frame: self.frame("2"), now: now).isEmpty)
        #expect(locations.lateRefusals == 1)
        #expect(locations.tick(now: self.start + .milliseconds(999)).isEmpty)
        #expect(self.shared(locations.tick(now: self.start + .seconds(1))) == ["3"])
    }

    @Test func heldMessagesAreBounded() {
        for change in [{ $0.maximumHeldMessages = 2 }, { $0.maximumHeldBytes = 20 }]
            as [(inout Locations.Limits) -> Void]
        {
            var locations = self.make(change)
            for _ in 0..<2 { _ = locations.send(self.frame("1"), to: "x", now: self.start) }
            _ = locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start)
            let long = ByteBuffer(repeating: 0x20, count: 10)
            #expect(locations.send(long, to: "x", now: self.start) == .hold)
            #expect(locations.send(long, to: "x", now: self.start) == .hold)
            #expect(locations.send(long, to: "x", now: self.start) == .refuse)
            #expect(self.shared(locations.connectedHere("x", now: self.start)).count == 2)
            #expect(locations.heldMessages == 0 && locations.heldBytes == 0)
        }
    }

    @Test func theYoungerOfTwoConnectionsCounts() {
        // The answer of the younger comes second, and nothing was sent to the older.
        var locations = self.located()
        _ = locations.answered("x", ask: 101, by: self.other, connectedFor: .seconds(1), now: self.start)
        #expect(
            locations.send(self.frame("2"), to: "x", now: self.start)
                == .send(.inbox(self.other, epoch: 103, number: 1))
        )
        // An answer of the older counts no more, until the client has connected there again.
        locations = self.located()
        _ = locations.answered("x", ask: 101, by: self.other, connectedFor: .seconds(10), now: self.start)
        _ = locations.send(self.frame("2"), to: "x", now: self.start)
        _ = locations.answered("x", ask: 101, by: self.other, connectedFor: .seconds(1), now: self.start)
        #expect(locations.send(self.frame("3"), to: "x", now: self.start) == .hold)
        let now = self.start + .seconds(1)
        let sent = locations.tick(now: now)
        #expect(self.shared(sent) == ["3"])
        guard case .shared(let ask?)? = sent.first?.route else { return }
        _ = locations.answered("x", ask: ask, by: self.holder, connectedFor: .seconds(10), now: now)
        guard case .send(.shared(let next?)) = locations.send(self.frame("4"), to: "x", now: now) else {
            Issue.record("the older connection was taken")
            return
        }
        _ = locations.answered("x", ask: next, by: self.holder, connectedFor: .milliseconds(1), now: now)
        #expect(
            locations.send(self.frame("5"), to: "x", now: now)
                == .send(.inbox(self.holder, epoch: next + 1, number: 1))
        )
    }

    @Test func answersAndRefusalsOfNothingAreIgnored() {
        var locations = self.located()
        #expect(locations.answered("y", ask: 101, by: self.other, connectedFor: .zero, now: self.start).isEmpty)
        #expect(locations.answered("x", ask: 102, by: self.other, connectedFor: .zero, now: self.start).isEmpty)
        #expect(locations.answered("x", ask: 0, by: self.other, connectedFor: .zero, now: self.start).isEmpty)
        for (id, epoch, number) in [("y", 102, 1), ("x", 101, 1), ("x", 102, 9), ("x", 102, 0)]
            as [(String, UInt64, UInt64)]
        {
            let frame = self.frame("!")
            #expect(locations.refused(id, epoch: epoch, number: number, frame: frame, now: self.start).isEmpty)
        }
        #expect(locations.lateRefusals == 4)
        #expect(
            locations.send(self.frame("2"), to: "x", now: self.start)
                == .send(.inbox(self.holder, epoch: 102, number: 1))
        )
    }

    @Test func idsAreForgotten() {
        var locations = self.make { $0.maximumIds = 100 }
        for number in 0..<10_000 { _ = locations.send(self.frame("1"), to: "\(number)", now: self.start) }
        #expect(locations.count <= 100)
        locations = self.located()
        _ = locations.tick(now: self.start)
        _ = locations.tick(now: self.start + .seconds(31))
        #expect(locations.count == 1)
        _ = locations.tick(now: self.start + .seconds(62))
        #expect(locations.count == 0)
    }

    @Test func whatWaitsIsNotForgotten() {
        var locations = self.make { $0.maximumIds = 10 }
        for _ in 0..<2 { _ = locations.send(self.frame("1"), to: "x", now: self.start) }
        _ = locations.answered("x", ask: 101, by: self.holder, connectedFor: .zero, now: self.start)
        #expect(locations.send(self.frame("2"), to: "x", now: self.start) == .hold)
        for number in 0..<1_000 { _ = locations.send(self.frame("1"), to: "\(number)", now: self.start) }
        let sent = locations.answered("x", ask: 102, by: self.holder, connectedFor: .zero, now: self.start)
        #expect(sent.map(\.frame) == [self.frame("2")])
    }
}

@Suite struct HoldingsTests {
    private let now = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func deliversAnEpochFromItsBeginningWithoutAHole() {
        var holdings = Holdings()
        let table: [(epoch: UInt64, number: UInt64, hasClient: Bool, expected: Holdings.Decision)] = [
            (5, 2, true, .refuse), (5, 1, true, .deliver), (5, 1, true, .ignore), (5, 2, true, .deliver),
            (5, 3, false, .refuse), (5, 4, true, .refuse), (5, 2, true, .ignore), (6, 1, false, .refuse),
            (6, 2, true, .refuse), (9, 1, true, .deliver), (5, 5, true, .refuse), (9, 2, true, .deliver),
            (3, 1, true, .deliver), (9, 3, true, .refuse), (1, 0, true, .ignore),
        ]
        for row in table {
            let decision = holdings.received(
                from: "a",
                for: "x",
                epoch: row.epoch,
                number: row.number,
                hasClient: row.hasClient,
                now: self.now
            )
            #expect(decision == row.expected, "\(row)")
        }
        let other = holdings.received(from: "b", for: "x", epoch: 3, number: 1, hasClient: true, now: self.now)
        #expect(other == .deliver)
    }

    @Test func isBounded() {
        var limits = Holdings.Limits()
        limits.maximumCount = 100
        var holdings = Holdings(limits: limits)
        for number in 0..<10_000 {
            _ = holdings.received(from: "a", for: "\(number)", epoch: 1, number: 1, hasClient: true, now: self.now)
        }
        #expect(holdings.count <= 100)
        let forgotten = holdings.received(from: "a", for: "0", epoch: 1, number: 2, hasClient: true, now: self.now)
        #expect(forgotten == .refuse)
    }
}
