import NIOCore
import Testing

@testable import CrossServerBus

@Suite struct DeliveryTests {
    @Test func messagesInOrderPassAtOnce() {
        var pair = DeliveryPair()
        for id in 1...5 { pair.receive(pair.send(UInt8(id))) }
        #expect(pair.delivered == [1, 2, 3, 4, 5])
        #expect(pair.asked.isEmpty)
        #expect(pair.receiver.ledger(of: 1)?.delivered == 5)
    }

    @Test func whatIsSentOnceComesAtOnceOrNever() throws {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        _ = pair.send(2)
        let messages = try (1...4).map { try pair.sendOnce(UInt8($0)) }
        pair.receive(pair.send(3))
        // Nothing waits for it, and it waits for nothing.
        for index in [0, 2, 1, 2] { pair.receive(messages[index]) }
        #expect(pair.delivered == [1, 1, 3])
        #expect(pair.receiver.ledger(of: 1)?.once == 2)
        #expect(pair.receiver.ledger(of: 1)?.repeats == 2)
        pair.wait(.milliseconds(1_001))
        pair.receive(messages[3])
        #expect(pair.receiver.ledger(of: 1)?.once == 2, "too late")
        pair.exchange()
        #expect(pair.delivered == [1, 1, 3, 2, 3])
        #expect(pair.asked == [.request(channel: DeliveryPair.channel, missing: [2...2], token: 0)])
        let ledger = pair.receiver.ledger(of: 1)
        #expect(ledger?.owed == 3)
        #expect(pair.sender.ledger == SenderLedger(sent: 3, repeated: 1, once: 4))
        pair.receiver.left(1, .died, now: pair.now)
        pair.receive(try pair.sendOnce(5))
        #expect(pair.receiver.ledger(of: 1)?.once == 2, "nobody knows when it was sent")
    }

    @Test func whatIsSentOnceNeedsALink() throws {
        var pair = DeliveryPair()
        pair.reach([], heardBy: [])
        var message = DeliveryPair.message(1)
        #expect(pair.sender.sendOnce(&message, now: pair.now) == .failure(.notNow))
        pair.reach(DeliveryPair.links, heardBy: [])
        #expect(pair.sender.sendOnce(&message, audience: 2, now: pair.now) == .failure(.unreachable))
        pair.reach(DeliveryPair.links, heardBy: [DeliveryPair.links[1]])
        #expect(pair.sender.sendOnce(&message, audience: 2, now: pair.now) == .success([DeliveryPair.links[1]]))
        #expect(Stamp(endOf: message)?.isOnce == true)
        #expect(pair.sender.historyBytes == 0)
        #expect(pair.sender.ledger == SenderLedger(refused: 2, once: 1))
    }

    @Test func overtakingIsPutRight() {
        var pair = DeliveryPair()
        let messages = (1...4).map { pair.send(UInt8($0)) }
        for index in [0, 2, 3, 1] { pair.receive(messages[index]) }
        #expect(pair.delivered == [1, 2, 3, 4])
        #expect(pair.asked.isEmpty)
    }

    @Test func repeatsAreDropped() {
        var pair = DeliveryPair()
        let messages = (1...2).map { pair.send(UInt8($0)) }
        for index in [0, 0, 1, 0, 1] { pair.receive(messages[index]) }
        #expect(pair.delivered == [1, 2])
        #expect(pair.receiver.ledger(of: 1)?.repeats == 3)
    }

    @Test func whatIsMissingIsAskedForAfterFiveMilliseconds() {
        var pair = DeliveryPair()
        let messages = (1...4).map { pair.send(UInt8($0)) }
        pair.receive(messages[0])
        pair.receive(messages[3])
        pair.wait(.milliseconds(4))
        pair.exchange()
        #expect(pair.delivered == [1])
        pair.wait(.milliseconds(1))
        pair.exchange()
        #expect(pair.asked == [.request(channel: DeliveryPair.channel, missing: [2...3], token: 0)])
        #expect(pair.delivered == [1, 2, 3, 4])
        #expect(pair.receiver.ledger(of: 1)?.repaired == 2)
        #expect(!pair.receiver.isBusy || pair.asked.count == 1)
    }

    @Test func asksAtOnceWhenThereIsALinkAgain() {
        var pair = DeliveryPair()
        let messages = (1...3).map { pair.send(UInt8($0)) }
        pair.reach([], heardBy: [])
        for index in [0, 2] { pair.receive(messages[index]) }
        pair.wait(.milliseconds(5))
        pair.exchange()
        #expect(pair.asked.isEmpty)
        pair.reach(DeliveryPair.links, heardBy: DeliveryPair.links)
        pair.wait(.milliseconds(1))
        pair.exchange()
        #expect(pair.delivered == [1, 2, 3])
    }

    @Test func aLostFirstAndLastMessageIsFound() {
        var pair = DeliveryPair()
        _ = pair.send(1)
        _ = pair.send(2)
        pair.wait(.milliseconds(300))
        pair.exchange()
        pair.wait(.milliseconds(5))
        pair.exchange()
        #expect(pair.delivered == [1, 2])
    }

    @Test func whatIsNotKeptIsReported() {
        var pair = DeliveryPair { $0.historyBytes = 1_000 }
        let messages = (1...50).map { pair.send(UInt8($0)) }
        pair.receive(messages[0])
        pair.receive(messages[49])
        pair.wait(.milliseconds(5))
        pair.exchange()
        let gap = pair.gaps.first
        #expect(pair.gaps.count == 1)
        #expect(gap?.first == 2)
        #expect(gap?.reason == .notKept)
        let last = gap?.last ?? 0
        #expect(pair.delivered == [1] + Array((last + 1)...50))
        let ledger = pair.receiver.ledger(of: 1)
        #expect((ledger?.delivered ?? 0) + (ledger?.repaired ?? 0) + (ledger?.missing ?? 0) == 50)
    }

    @Test func muchThatIsNotKeptIsReportedAtOnce() {
        var pair = DeliveryPair { $0.historyBytes = 1_000 }
        let messages = (1...20_000).map { pair.send(UInt8(truncatingIfNeeded: $0)) }
        pair.receive(messages[0])
        pair.receive(messages[19_999])
        pair.wait(.milliseconds(5))
        pair.exchange()
        // What is kept is asked for with a second request, at once.
        pair.exchange()
        #expect(pair.asked.count == 2)
        #expect(pair.gaps.map(\.first) == [2])
        let ledger = pair.receiver.ledger(of: 1)
        #expect((ledger?.delivered ?? 0) + (ledger?.repaired ?? 0) + (ledger?.missing ?? 0) == 20_000)
    }

    @Test func whoComesBackAfterALongSilenceMayHaveSentBefore() {
        var pair = DeliveryPair { $0.historyTime = .seconds(2) }
        pair.receive(pair.send(1))
        _ = pair.send(2)
        pair.receiver.left(1, .died, now: pair.now)
        for _ in 0..<12 {
            pair.wait(.seconds(1))
            // What it says is lost.
            _ = pair.sender.tick(now: pair.now)
            pair.receiver.tick(now: pair.now)
        }
        pair.receiver.joined(1, name: "a", uptime: .milliseconds(12_100), now: pair.now)
        pair.exchange()
        #expect(pair.gaps.count == 1)
        #expect(pair.delivered == [1])
    }

    @Test func theEndOfALifeReportsWhatIsMissing() {
        var pair = DeliveryPair()
        let messages = (1...4).map { pair.send(UInt8($0)) }
        pair.receive(messages[0])
        pair.receive(messages[2])
        #expect(pair.delivered == [1])
        pair.receiver.left(1, .replaced, now: pair.now)
        pair.exchange()
        #expect(pair.gaps.map(\.last) == [2])
        pair.receive(messages[3])
        #expect(pair.delivered == [1, 3])
        #expect(pair.receiver.ledger(of: 1)?.late == 1)
    }

    @Test func nothingOfAnUnprovedLifeIsDelivered() {
        var pair = DeliveryPair()
        var message = DeliveryPair.message(1)
        #expect(Stamp(incarnation: 9, number: 1, uptime: 5, sincePrevious: Stamp.first).append(to: &message))
        pair.receive(message)
        #expect(pair.delivered.isEmpty)
        pair.receiver.joined(9, name: "c", uptime: .milliseconds(5), now: pair.now)
        pair.exchange()
        #expect(pair.delivered == [1])
    }

    @Test func unnumberedMessagesPass() {
        var pair = DeliveryPair()
        pair.receive(DeliveryPair.message(1))
        #expect(pair.delivered == [0])
    }

    // MARK: The sender alone

    @Test func withoutALinkMessagesWaitAndAreRefused() {
        var pair = DeliveryPair { $0.queueBytes = 300 }
        pair.reach([], heardBy: [])
        var message = DeliveryPair.message(1)
        let outcomes = (0..<3).map { _ in pair.sender.send(&message, to: "x", now: pair.now) }
        #expect(outcomes == [.waiting(1), .waiting(2), .refused(.queueFull)])
        pair.wait(.seconds(10))
        let late = pair.sender.tick(now: pair.now)
        #expect(late == [.refuse(waiting: 1, on: "x", .expired), .refuse(waiting: 2, on: "x", .expired)])
        let next = pair.sender.send(&message, to: "x", now: pair.now)
        #expect(next == .waiting(3))
        var reach = Reach()
        reach.links = [Reach.Link(link: DeliveryPair.links[1], provedAt: pair.now)]
        let actions = pair.sender.update(reach, now: pair.now)
        guard case .publish(let bytes, "x", DeliveryPair.links[1], _, 3) = actions.first else {
            Issue.record("\(actions)")
            return
        }
        #expect(Stamp(endOf: bytes)?.number == 1)
        #expect(pair.sender.ledger == SenderLedger(sent: 1, republished: 0, repeated: 0, refused: 3))
    }

    @Test func ofMessagesWithOneKeyTheNewestWaits() {
        var pair = DeliveryPair { $0.queueBytes = 500 }
        pair.reach([], heardBy: [])
        func wait(_ id: UInt8, _ key: String?, on channel: String = DeliveryPair.channel) -> DeliverySender.Outcome {
            var message = DeliveryPair.message(id)
            return pair.sender.send(&message, to: channel, key: key, now: pair.now)
        }
        #expect(wait(1, "k") == .waiting(1))
        #expect(wait(2, nil) == .waiting(2))
        #expect(wait(3, "k", on: "ws:other") == .waiting(3))
        // Many times what the queue holds.
        for number in 4...200 {
            let older: UInt64 = number == 4 ? 1 : UInt64(number - 1)
            #expect(wait(UInt8(number), "k") == .waiting(UInt64(number), replacing: older))
        }
        #expect(wait(201, nil) == .waiting(201))
        #expect(pair.sender.ledger.replaced == 197)
        var reach = Reach()
        reach.links = [Reach.Link(link: DeliveryPair.links[0], provedAt: pair.now)]
        let actions = pair.sender.update(reach, now: pair.now)
        let sent = actions.compactMap { action -> String? in
            guard case .publish(let bytes, let channel, _, _, _) = action else { return nil }
            return "\(channel) \(bytes.getInteger(at: bytes.readerIndex + 4, as: UInt8.self) ?? 0)"
        }
        #expect(sent == ["ws:room 2", "ws:room 200", "ws:room 201", "ws:other 3"])
        #expect(pair.sender.queueBytes == 0)
        // What has gone is not waited for.
        pair.reach([], heardBy: [])
        #expect(wait(202, "k") == .waiting(202))
        #expect(pair.sender.ledger.sent == 4)
    }

    @Test func anUnansweredPublishGoesOutOnAnotherLink() throws {
        var pair = DeliveryPair()
        let (first, message) = try pair.publish(1)
        #expect(first.links == [DeliveryPair.links[0]])
        let actions = pair.sender.unanswered([first.ticket], over: DeliveryPair.links[0], now: pair.now)
        #expect(actions == [.publish(message, to: "x", over: DeliveryPair.links[1], first.ticket, waiting: nil)])
        // The link is used again when a probe that was sent later has come back.
        #expect(try pair.publish(2).0.links == [DeliveryPair.links[1]])
        pair.wait(.seconds(1))
        pair.reach(DeliveryPair.links, heardBy: DeliveryPair.links)
        #expect(try pair.publish(3).0.links == [DeliveryPair.links[0]])
    }

    @Test func aLinkThatSomebodyDoesNotHearIsNotUsed() throws {
        var pair = DeliveryPair()
        pair.reach(DeliveryPair.links, heardBy: [DeliveryPair.links[1]])
        #expect(try pair.publish(1).0.links == [DeliveryPair.links[1]])
    }

    @Test func whereNoLinkReachesAllTheSmallestSetIsTaken() throws {
        var pair = DeliveryPair()
        var reach = Reach()
        reach.links = DeliveryPair.links.map { Reach.Link(link: $0, provedAt: pair.now) }
        reach.servers[2] = Reach.Server(name: "b", links: [DeliveryPair.links[0]])
        reach.servers[3] = Reach.Server(name: "c", links: [DeliveryPair.links[1]])
        _ = pair.sender.update(reach, now: pair.now)
        #expect(try Set(pair.publish(1).0.links) == Set(DeliveryPair.links))
        #expect(try pair.publish(1, to: "csbp:node:c:3", audience: 3).0.links == [DeliveryPair.links[1]])
    }

    @Test func aNumberCanBeTakenBack() throws {
        var pair = DeliveryPair()
        let ticket = try pair.publish(1).0.ticket
        let istrue = pair.sender.cancel(ticket)
        #expect(istrue == true)
        let isfalse = pair.sender.cancel(ticket)
        #expect(isfalse == false)
        #expect(pair.sender.historyBytes == 0)
        #expect(Stamp(endOf: try pair.publish(2).1)?.number == 1)
    }

    @Test func aLeaverWaitsUntilAllHaveEverything() {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        _ = pair.send(2)
        let actions = pair.sender.leave(now: pair.now)
        #expect(!pair.sender.hasLeft)
        for case .tell(let bytes, let channel, let link) in actions {
            #expect(channel == "csbp:node:b:2")
            if let frame = DeliveryFrame(bytes) { pair.receiver.received(frame, over: link, now: pair.now) }
        }
        pair.exchange()
        #expect(!pair.sender.hasLeft)
        #expect(pair.sender.missingAcknowledgements == [2])
        pair.wait(.milliseconds(200))
        pair.exchange()
        pair.wait(.milliseconds(200))
        pair.exchange()
        #expect(pair.delivered == [1, 2])
        #expect(pair.sender.hasLeft)
        var message = DeliveryPair.message(3)
        let outcome = pair.sender.send(&message, to: "x", now: pair.now)
        #expect(outcome == .refused(.stopping))
    }

    @Test func aForgottenStreamGoesOnAboveItsNumbers() {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        pair.receive(pair.send(2))
        for _ in 0..<10 {
            pair.wait(.seconds(11))
            pair.exchange()
        }
        #expect(pair.sender.streams.allSatisfy { $0.channel.isEmpty })
        pair.receive(pair.send(3))
        #expect(pair.delivered == [1, 2, 3])
        #expect(pair.gaps.isEmpty)
    }

    @Test func whatIsWithdrawnComesToNobody() throws {
        var pair = DeliveryPair()
        let messages = try (1...3).map { try pair.publish(UInt8($0), to: DeliveryPair.channel) }
        pair.receive(messages[0].1)
        #expect(pair.sender.withdraw(messages[1].0.ticket) == .withdrawn)
        pair.receive(messages[2].1)
        pair.wait(.milliseconds(10))
        pair.exchange()
        #expect(pair.asked == [.request(channel: DeliveryPair.channel, missing: [2...2], token: 0)])
        #expect(pair.delivered == [1, 3])
        #expect(pair.gaps.isEmpty)
        let ledger = pair.receiver.ledger(of: 1)
        #expect(ledger?.owed == 3)
        #expect(ledger?.delivered == 2)
        #expect(ledger?.repaired == 1)
        #expect(pair.sender.withdraw(messages[1].0.ticket) == .repeated, "it was asked for")
    }

    @Test func whatIsUnderWayToWhoHasAskedForItIsNotWithdrawn() throws {
        var pair = DeliveryPair()
        let messages = try (1...4).map { try pair.publish(UInt8($0), to: DeliveryPair.channel) }
        pair.receive(messages[0].1)
        pair.receive(messages[2].1)
        pair.wait(.milliseconds(10))
        pair.exchange()
        #expect(pair.delivered == [1, 2, 3])
        #expect(pair.sender.withdraw(messages[1].0.ticket) == .repeated)
        #expect(pair.sender.withdraw(messages[3].0.ticket) == .withdrawn)
    }

    @Test func whatWasRepeatedIsNotWithdrawnWhenItIsNotKeptAnyMore() throws {
        var pair = DeliveryPair { $0.historyBytes = 1_000 }
        let messages = try (1...3).map { try pair.publish(UInt8($0), to: DeliveryPair.channel) }
        pair.receive(messages[0].1)
        pair.receive(messages[2].1)
        pair.wait(.milliseconds(10))
        pair.exchange()
        #expect(pair.delivered == [1, 2, 3])
        for number in 4...60 as ClosedRange<UInt8> { _ = try pair.publish(number, to: DeliveryPair.channel) }
        #expect(pair.sender.historyBytes <= 1_000)
        #expect(pair.sender.withdraw(messages[1].0.ticket) == .repeated)
    }

    @Test func whatWasPublishedTwiceMayHaveComeAlthoughTheSecondTimeNobodyHeardIt() throws {
        var pair = DeliveryPair()
        let first = try pair.publish(1, to: DeliveryPair.channel).0
        let second = try pair.publish(2, to: DeliveryPair.channel).0
        #expect(!pair.sender.unanswered([first.ticket], over: DeliveryPair.links[0], now: pair.now).isEmpty)
        #expect(pair.sender.withdraw(first.ticket) == .uncertain)
        #expect(pair.sender.withdraw(second.ticket) == .withdrawn)
    }

    @Test func whatIsHeldBackDoesNotHoldOnToWhatItCameWith() {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        _ = pair.send(2)
        let late = pair.send(3)
        // A slice of much more, as a reader of a socket makes them.
        var bytes = ByteBuffer(repeating: 0, count: 1 << 20)
        bytes.setBuffer(late, at: 100)
        guard let slice = bytes.getSlice(at: 100, length: late.readableBytes) else {
            Issue.record("no slice")
            return
        }
        _ = pair.receiver.received(slice, on: DeliveryPair.channel, over: DeliveryPair.links[0], now: pair.now)
        #expect((1...1_024).contains(pair.receiver.holdBytes))
    }
}
