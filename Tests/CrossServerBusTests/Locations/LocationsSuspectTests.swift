import NIOCore
import Synchronization
import Testing

@testable import CrossServerBus

/// What is sent to a holder that nobody hears.
@Suite struct LocationsSuspectTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let holder = Holder(name: "b", incarnation: "1")
    private let other = Holder(name: "c", incarnation: "2")

    private func ticket(_ number: UInt64) -> DeliveryTicket { DeliveryTicket(stream: 0, number: number) }

    /// Has sent "1", "2" and "3" to the holder in epoch 102, of which nobody has heard the last two, and then "4".
    private func unheard(_ withdraw: @escaping @Sendable (DeliveryTicket) -> Withdrawal) -> Locations {
        var locations = Locations(start: 100, withdraw: withdraw)
        #expect(locations.send(ByteBuffer(string: "0"), to: "x", now: self.start) == .send(.shared(ask: 101)))
        #expect(
            locations.answered("x", ask: 101, by: self.holder, connectedFor: .seconds(9), now: self.start).isEmpty
        )
        for number in 1...3 as ClosedRange<UInt64> {
            let decision = locations.send(ByteBuffer(string: "\(number)"), to: "x", now: self.start)
            #expect(decision == .send(.inbox(self.holder, epoch: 102, number: number)))
        }
        for number in 2...3 as ClosedRange<UInt64> {
            #expect(self.nobodyHeard(number, &locations).isEmpty)
        }
        #expect(locations.send(ByteBuffer(string: "4"), to: "x", now: self.start) == .hold)
        #expect(locations.undecided == [self.holder])
        return locations
    }

    private func nobodyHeard(_ number: UInt64, _ locations: inout Locations) -> [Locations.Dispatch] {
        locations.unheard(
            "x",
            epoch: 102,
            number: number,
            ticket: self.ticket(number),
            frame: ByteBuffer(string: "\(number)"),
            now: self.start
        )
    }

    private func texts(_ dispatches: [Locations.Dispatch]) -> [String] { dispatches.map { String(buffer: $0.frame) } }

    @Test func whatAHolderThatSpeaksAgainAsksForIsNotSentAgain() {
        var locations = self.unheard { _ in
            Issue.record("it can ask for all")
            return .withdrawn
        }
        let dispatches = locations.heard(self.holder, now: self.start)
        #expect(self.texts(dispatches) == ["4"])
        #expect(dispatches.map(\.route) == [.inbox(self.holder, epoch: 102, number: 4)])
        #expect(locations.takeLost().isEmpty)
        #expect(locations.heldMessages == 0)
    }

    @Test func whatIsWithdrawnFromAHolderThatHasLeftIsSentToAll() {
        let withdrawn = Mutex<[UInt64]>([])
        var locations = self.unheard { ticket in
            withdrawn.withLock { $0.append(ticket.number) }
            return .withdrawn
        }
        #expect(self.texts(locations.serverLeft(self.holder, now: self.start)) == ["2", "3", "4"])
        #expect(withdrawn.withLock { $0.sorted() } == [2, 3])
        #expect(locations.takeLost().isEmpty)
    }

    @Test func aSuspectKeepsWhatItWasSentUntilItsClientIsElsewhere() {
        var locations = self.unheard { _ in .withdrawn }
        #expect(locations.suspected(self.holder, now: self.start).isEmpty)
        let dispatches = locations.moved("x", to: self.other, now: self.start)
        #expect(self.texts(dispatches) == ["2", "3", "4"])
        #expect(dispatches.map(\.route) == [1, 2, 3].map { .inbox(self.other, epoch: 103, number: $0) })
    }

    /// It lives, although this server believes that it has died.
    @Test func whatTheHolderHasAskedForIsNotSentAgain() {
        var locations = self.unheard { $0.number == 2 ? .repeated : .withdrawn }
        #expect(self.texts(locations.serverLeft(self.holder, now: self.start)) == ["3", "4"])
        #expect(locations.takeLost().isEmpty)
        #expect(locations.heldMessages == 0)
    }

    @Test func whatMayHaveComeToTheHolderIsReportedAndNotSentAgain() {
        var locations = self.unheard { $0.number == 3 ? .uncertain : .withdrawn }
        #expect(self.texts(locations.serverLeft(self.holder, now: self.start)) == ["2", "4"])
        #expect(locations.takeLost() == ["x"])
        #expect(locations.heldMessages == 0)
    }

    /// Too late to be sent in its order.
    @Test(arguments: [Withdrawal.withdrawn, .repeated, .uncertain])
    func whatNobodyHeardIsReportedWhenTheClientIsElsewhereAlready(withdrawal: Withdrawal) {
        var locations = self.unheard { $0.number == 1 ? withdrawal : .withdrawn }
        _ = locations.serverLeft(self.holder, now: self.start)
        #expect(self.nobodyHeard(1, &locations).isEmpty)
        #expect(locations.takeLost() == (withdrawal == .repeated ? [] : ["x"]))
    }
}
