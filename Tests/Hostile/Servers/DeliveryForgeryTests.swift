import NIOCore
import Testing

@testable import CrossServerBus
@testable import CrossServerBusTests

/// What a receiver makes of what somebody writes in the name of others.
@Suite struct DeliveryForgeryTests {
    @Test func aLiveServerHasItsPlaceWhateverStrangersDo() {
        var pair = DeliveryPair()
        for stranger in 100..<UInt64(9_100) {
            let message = pair.forged(1, sincePrevious: Stamp.first, incarnation: stranger)
            _ = pair.receiver.received(message, on: DeliveryPair.channel, over: DeliveryPair.links[0], now: pair.now)
        }
        #expect(pair.receiver.overflows.unproved == 9_000 - 1_024)
        pair.receive(pair.forged(1, sincePrevious: Stamp.first, incarnation: 9))
        pair.receiver.joined(9, name: "c", uptime: pair.now - pair.receiver.start, now: pair.now)
        pair.receive(pair.forged(1, sincePrevious: Stamp.first, incarnation: 9))
        #expect(pair.delivered == [1])
        for stranger in 20_000..<UInt64(29_000) {
            pair.receiver.joined(stranger, name: "x", uptime: .zero, now: pair.now)
            pair.receiver.left(stranger, .stopped, now: pair.now)
        }
        pair.receive(pair.forged(2, sincePrevious: 0, incarnation: 9))
        #expect(pair.delivered == [1, 2])
        #expect(pair.receiver.peerIndices.count <= DeliveryReceiver.maximumPeers + 1_024)
        #expect(pair.receiver.overflows.peers == 0)
    }

    @Test(arguments: [Stamp.first, 0, 100, Stamp.longest], [Int64?.none, 5, 1 << 39])
    func aNumberFarAheadIsAskedAbout(sincePrevious: UInt32, uptime: Int64?) {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        pair.receive(pair.forged(1 << 30, uptime: uptime, sincePrevious: sincePrevious))
        pair.receive(pair.send(2))
        pair.settle()
        pair.receive(pair.send(3))
        #expect(pair.delivered == [1, 2, 3])
        #expect(pair.gaps.isEmpty)
        let ledger = pair.receiver.ledger(of: 1)
        #expect(ledger?.owed == 3)
        #expect(ledger?.pending == 0)
        #expect(!pair.receiver.missesSome(of: 1))
        #expect(pair.receiver.holdBytes == 0)
    }

    @Test(arguments: [Stamp.first, 0, Stamp.longest])
    func aStreamBeginsWhereItsSenderSays(sincePrevious: UInt32) {
        var pair = DeliveryPair()
        pair.receive(pair.forged(1 << 30, sincePrevious: sincePrevious))
        pair.receive(pair.send(1))
        pair.settle()
        pair.receive(pair.send(2))
        #expect(pair.delivered == [1, 2])
        #expect(pair.gaps.isEmpty)
        #expect(!pair.receiver.missesSome(of: 1))
    }

    @Test func lastNumbersThatAreForgedAreAskedAbout() {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        pair.receiveFrame(.heads(.init(of: DeliveryPair.channel, last: 1 << 39, uptime: 1, token: 0)))
        pair.settle()
        #expect(!pair.receiver.missesSome(of: 1))
        pair.receive(pair.send(2))
        #expect(pair.delivered == [1, 2])
        #expect(pair.gaps.isEmpty)
    }

    @Test(arguments: [UInt64?.none, 1 << 30], [UInt64(0), 1 << 30])
    func answersWithoutTheTokenMoveNothing(base: UInt64?, floor: UInt64) {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        let lost = pair.send(2)
        let third = pair.send(3)
        pair.reach([], heardBy: [])
        pair.receive(third)
        let answer = DeliveryFrame.Repetition(
            of: DeliveryPair.channel,
            token: 1,
            last: 1 << 30,
            floor: floor,
            base: base,
            gone: 1 << 30
        )
        pair.receiveFrame(.repetition(answer))
        #expect(pair.gaps.isEmpty)
        pair.receive(lost)
        #expect(pair.delivered == [1, 2, 3])
    }

    /// What comes as the next message is given on, whoever wrote it; but it does not make real ones repeats.
    @Test(arguments: [Int64?.none, 1 << 39]) func theSendersWordPutsAPositionRight(uptime: Int64?) {
        var pair = DeliveryPair()
        pair.receive(pair.send(1))
        for number in 2...UInt64(50) {
            pair.receive(pair.forged(number, uptime: uptime, sincePrevious: 0))
        }
        #expect(pair.delivered.count == 50)
        pair.delivered = []
        pair.wait(.milliseconds(1))
        pair.receive(pair.send(2))
        pair.settle()
        for id in 3...6 { pair.receive(pair.send(UInt8(id))) }
        #expect(pair.delivered == [2, 3, 4, 5, 6])
        #expect(pair.gaps.isEmpty)
        let ledger = pair.receiver.ledger(of: 1)
        #expect(ledger.map { $0.owed == $0.delivered + $0.repaired && $0.pending == 0 } == true)
    }

    @Test(arguments: [Int64?.none, 1 << 39]) func whatIsSentOnceIsNotSilencedByANumber(uptime: Int64?) throws {
        var pair = DeliveryPair()
        pair.receive(pair.forged(1 << 39, uptime: uptime, sincePrevious: Stamp.once))
        pair.delivered = []
        pair.wait(.milliseconds(1_100))
        for id in 1...3 { pair.receive(try pair.sendOnce(UInt8(id))) }
        #expect(pair.delivered == [1, 2, 3])
    }

    @Test func whatIsHeldHasOneBound() {
        var pair = DeliveryPair {
            $0.holdBytes = 20_000
            $0.unprovedBytes = 5_000
        }
        for number in 0..<200 {
            let channel = "ws:\(number)"
            pair.receiver.subscribe(channel, now: pair.now)
            pair.receiver.inForce(channel, now: pair.now)
            for incarnation in [UInt64(1), 77] {
                var message = ByteBuffer(bytes: [0x81, 0xa1, 0x69, 0xc5, 0x03, 0xe8])
                message.writeRepeatingByte(1, count: 1_000)
                let stamp = Stamp(incarnation: incarnation, number: 5, uptime: 100, sincePrevious: 0)
                #expect(stamp.append(to: &message))
                _ = pair.receiver.received(message, on: channel, over: DeliveryPair.links[0], now: pair.now)
            }
            #expect(pair.receiver.holdBytes <= 20_000)
            #expect(pair.receiver.unproved.bytes <= 5_000)
        }
        #expect(pair.receiver.overflows.unproved > 0)
        #expect(pair.receiver.overflows.held > 0)
        pair.receiver.left(1, .stopped, now: pair.now)
        for _ in 0..<30 {
            pair.wait(.seconds(10))
            pair.exchange()
        }
        #expect(pair.receiver.holdBytes == 0)
        #expect(pair.receiver.unproved.bytes == 0)
        #expect(pair.receiver.unproved.streams == 0)
        #expect(pair.receiver.unproved.peers == 0)
    }

    // MARK: The sender

    private func request(of incarnation: UInt64, _ last: UInt64) -> DeliveryFrame {
        let body = DeliveryFrame.Body.request(channel: DeliveryPair.channel, missing: [1...last], token: 1)
        return DeliveryFrame(name: "b", incarnation: incarnation, target: 1, body: body)
    }

    @Test func onlyLiveServersAreAnswered() {
        var pair = DeliveryPair()
        _ = pair.send(1)
        let link = DeliveryPair.links[0]
        #expect(pair.sender.received(self.request(of: 7, 1), over: link, now: pair.now).isEmpty)
        #expect(pair.sender.ledger.unanswered == 1)
        #expect(pair.sender.received(self.request(of: 2, 1), over: link, now: pair.now).count == 1)
    }

    @Test func anAskerHasABudget() {
        var pair = DeliveryPair { $0.historyBytes = 4 << 20 }
        for id in 0..<3_000 {
            var message = ByteBuffer(bytes: [0x81, 0xa1, 0x69, 0xc5, 0x03, 0xe8])
            message.writeRepeatingByte(UInt8(truncatingIfNeeded: id), count: 1_000)
            guard case .publish = pair.sender.send(&message, to: DeliveryPair.channel, now: pair.now) else {
                Issue.record("not sent")
                return
            }
        }
        func bytes(asking times: Int) -> Int {
            (0..<times).reduce(0) { sum, _ in
                let actions = pair.sender.received(
                    self.request(of: 2, 2_000),
                    over: DeliveryPair.links[0],
                    now: pair.now
                )
                return actions.reduce(sum) { sum, action in
                    if case .tell(let bytes, _, _) = action { sum + bytes.readableBytes } else { sum }
                }
            }
        }
        // The whole history, and one answer more at most.
        let first = bytes(asking: 500)
        #expect((4 << 20...6 << 20).contains(first), "\(first)")
        #expect(pair.sender.ledger.overBudget > 400)
        pair.wait(.seconds(2))
        let second = bytes(asking: 500)
        #expect((1 << 20...4 << 20).contains(second), "\(second)")
        // Nor as many requests as it likes.
        pair.wait(.seconds(60))
        let before = pair.sender.ledger.overBudget
        for _ in 0..<5_000 {
            let frame = DeliveryFrame(
                name: "b",
                incarnation: 2,
                target: 1,
                body: .requestHeads(since: 1 << 39, token: 1)
            )
            _ = pair.sender.received(frame, over: DeliveryPair.links[0], now: pair.now)
        }
        #expect(pair.sender.ledger.overBudget - before == 5_000 - 2_048)
    }

    @Test func nobodyAcknowledgesForAnother() {
        var pair = DeliveryPair()
        _ = pair.send(1)
        _ = pair.sender.leave(now: pair.now)
        for token in 0...UInt64(100) {
            let frame = DeliveryFrame(name: "b", incarnation: 2, target: 1, body: .acknowledge(token: token))
            _ = pair.sender.received(frame, over: DeliveryPair.links[0], now: pair.now)
        }
        #expect(!pair.sender.hasLeft)
    }

    /// The sender's clock seems a little fast then, and what was sent just after the subscription older than it.
    @Test func whoForgesAnUptimeHidesNothingThatIsOwed() throws {
        var pair = DeliveryPair()
        _ = try pair.publish(1, to: "x")
        pair.wait(.seconds(1))
        pair.receiver.subscribe("x", now: pair.now)
        pair.receiver.inForce("x", now: pair.now)
        pair.wait(.milliseconds(6))
        _ = try pair.publish(2, to: "x")
        pair.receiver.heard(1, uptime: pair.sender.uptime(pair.now) + 10_000, now: pair.now)
        pair.wait(.milliseconds(100))
        let message = try pair.publish(3, to: "x").1
        let isDue = pair.receiver.received(message, on: "x", over: DeliveryPair.links[0], now: pair.now)
        #expect(!isDue, "it is asked how far the channel is")
        pair.exchange()
        #expect(pair.delivered == [2, 3])
        #expect(pair.receiver.ledger(of: 1)?.owed == 2)
    }
}
