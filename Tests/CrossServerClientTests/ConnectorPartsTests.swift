import CrossServerWebSocket
import CrossServerWire
import NIOCore
import Testing

@testable import CrossServerClient

@Suite struct HeartbeatTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func measuresTheRoundTrip() {
        var heartbeat = Heartbeat()
        #expect(heartbeat.tick(now: self.start) == .send)
        #expect(heartbeat.isAwaitingEcho)
        #expect(heartbeat.echoed(now: self.start + .milliseconds(7)) == .milliseconds(7))
        #expect(!heartbeat.isAwaitingEcho)
    }

    @Test func anEchoThatNobodyAskedForCountsNothing() {
        var heartbeat = Heartbeat()
        #expect(heartbeat.echoed(now: self.start) == nil)
        _ = heartbeat.tick(now: self.start)
        _ = heartbeat.echoed(now: self.start)
        #expect(heartbeat.echoed(now: self.start) == nil)
    }

    @Test func aServerIsGivenUpThatWasSilentForAllLooks() {
        var heartbeat = Heartbeat()
        #expect(heartbeat.look(isAlive: false) == false, "no echo is awaited")
        _ = heartbeat.tick(now: self.start)
        for _ in 0..<3 { #expect(heartbeat.look(isAlive: false) == false) }
        #expect(heartbeat.look(isAlive: true) == false)
        for _ in 0..<3 { #expect(heartbeat.look(isAlive: false) == false) }
        #expect(heartbeat.look(isAlive: false) == true)
        _ = heartbeat.echoed(now: self.start)
        _ = heartbeat.tick(now: self.start)
        #expect(heartbeat.look(isAlive: false) == false, "each heartbeat has its own time")
    }

    @Test func oneAtATime() {
        var heartbeat = Heartbeat()
        _ = heartbeat.tick(now: self.start)
        #expect(heartbeat.tick(now: self.start + .seconds(1)) == .skip)
        #expect(heartbeat.echoed(now: self.start + .seconds(2)) == .seconds(2))
        #expect(heartbeat.tick(now: self.start + .seconds(3)) == .send)
        heartbeat.reset()
        #expect(!heartbeat.isAwaitingEcho)
    }
}

@Suite struct PendingRequestsTests {
    @Test func everyWaiterIsTakenOnce() {
        var pending = PendingRequests<Int>(maximum: 2)
        pending.insert(1, id: "a")
        #expect(!pending.isFull)
        pending.insert(2, id: "b")
        #expect(pending.isFull)
        #expect(pending.remove("x") == nil)
        #expect(pending.remove("a") == 1)
        #expect(pending.remove("a") == nil)
        #expect(pending.removeAll() == [2])
        #expect(pending.count == 0)
    }
}

@Suite struct CallbackIDsTests {
    @Test(arguments: [
        (UInt64(1_732_100_000_123), UInt32(0), UInt64(1), "~m3prm9ob-0000-1"),
        (0, 35, 36, "~0-000z-10"),
        (1, CallbackIDs.randomRange - 1, .max, "~1-zzzz-3w5e11264sgsf"),
    ])
    func format(milliseconds: UInt64, random: UInt32, counter: UInt64, id: String) {
        #expect(CallbackIDs.id(milliseconds: milliseconds, random: random, counter: counter) == id)
    }

    @Test func idsDifferAndFitTheLimitOfServers() {
        let ids = CallbackIDs()
        let made = (0..<1_000).map { _ in ids.next() }
        #expect(Set(made).count == 1_000)
        #expect(made.allSatisfy { CallbackID($0) != nil })
    }
}

@Suite struct OutboundGaugeTests {
    @Test func admitsUpToTheLimitAndASingleLargeMessage() {
        let gauge = OutboundGauge(maximum: 100)
        #expect(gauge.admit(1_000))
        #expect(!gauge.admit(1))
        gauge.taken(1_000)
        #expect(gauge.admit(60))
        #expect(!gauge.admit(41))
        #expect(gauge.admit(40))
        gauge.taken(100)
        gauge.setWaiting(99)
        #expect(gauge.admit(1))
        #expect(!gauge.admit(1))
    }
}

@Suite struct OccurrenceQueueTests {
    private static func message(_ text: String) -> ClientOccurrence {
        .message(WebSocketMessage(kind: .text, payload: ByteBuffer(string: text)), event: nil)
    }

    @Test(.timeLimit(.minutes(1)))
    func handsOutInOrderAndEnds() async {
        let queue = OccurrenceQueue(maximumCount: 4, maximumBytes: 100, maximumRunning: 2)
        #expect(queue.append(.open) == .free)
        #expect(queue.append(Self.message("a")) == .free)
        queue.finish()
        #expect(queue.append(.ping) == .free)
        let first = await queue.next(onHalfEmpty: {})
        let second = await queue.next(onHalfEmpty: {})
        let third = await queue.next(onHalfEmpty: {})
        #expect(first.map { !$0.isMessage } == true)
        #expect(second.map { $0.isMessage } == true)
        #expect(third == nil)
    }

    @Test(.timeLimit(.minutes(1)), arguments: [(4, 1_000), (1_000, 20)])
    func tellsWhenItIsOverAndWhenHalfIsDone(count: Int, bytes: Int) async {
        let queue = OccurrenceQueue(maximumCount: count, maximumBytes: bytes, maximumRunning: 2)
        for index in 1...4 { #expect(queue.append(Self.message("12345")) == .free, "\(index)") }
        #expect(queue.append(Self.message("12345")) == .over)
        #expect(queue.append(.pong(.zero)) == .over, "left out")
        var handled = 0
        var toldAfter: Int?
        while toldAfter == nil, await queue.next(onHalfEmpty: { toldAfter = handled }) != nil { handled += 1 }
        #expect(toldAfter == 2)
        #expect(queue.append(.pong(.zero)) == .free)
    }

    @Test(arguments: [(4, 1_000), (1_000, 20)])
    func isFullAtFourTimesItsLimits(count: Int, bytes: Int) {
        let queue = OccurrenceQueue(maximumCount: count, maximumBytes: bytes, maximumRunning: 2)
        for index in 1...16 {
            #expect(queue.append(Self.message("12345")) == (index > 4 ? .over : .free), "\(index)")
        }
        #expect(queue.append(Self.message("12345")) == .full)
        #expect(queue.level == .full)
    }

    @Test(.timeLimit(.minutes(1)))
    func whatRunningListenersKeepCounts() async {
        let queue = OccurrenceQueue(maximumCount: 4, maximumBytes: 10, maximumRunning: 2)
        _ = queue.append(Self.message("12345"))
        _ = await queue.next(onHalfEmpty: {})
        queue.listenerStarted(bytes: 5)
        queue.listenerStarted(bytes: 5)
        #expect(queue.append(.open) == .free)
        #expect(queue.append(Self.message("1")) == .over, "what listeners keep counts")
        queue.finish()
        async let next = queue.next(onHalfEmpty: {})
        #expect(!queue.listenerEnded(bytes: 5))
        #expect(await next.map { !$0.isMessage } == true)
        #expect(queue.listenerEnded(bytes: 5))
        #expect(await queue.next(onHalfEmpty: {}) != nil)
        #expect(await queue.next(onHalfEmpty: {}) == nil)
    }

    @Test(.timeLimit(.minutes(1)))
    func discardsMessagesOnly() async {
        let queue = OccurrenceQueue(maximumCount: 2, maximumBytes: 100, maximumRunning: 2)
        for _ in 0..<3 { _ = queue.append(Self.message("a")) }
        _ = queue.append(.open)
        queue.discardMessages()
        queue.finish()
        let next = await queue.next(onHalfEmpty: {})
        #expect(next.map { !$0.isMessage } == true)
        #expect(await queue.next(onHalfEmpty: {}) == nil)
    }

    @Test func isBoundedWhateverHappens() async {
        let queue = OccurrenceQueue(maximumCount: 4, maximumBytes: 100, maximumRunning: 2)
        for _ in 0..<1_000 { _ = queue.append(.reconnect(attempt: 1, delay: .zero)) }
        queue.finish()
        var count = 0
        while await queue.next(onHalfEmpty: {}) != nil { count += 1 }
        #expect(count == 8)
    }
}

@Suite struct ConfigurationTests {
    @Test func refusesValuesThatMakeNoSense() {
        let changes: [(inout WebSocketConnector.Configuration) -> Void] = [
            { $0.pingInterval = .zero }, { $0.pongTimeout = .seconds(-1) }, { $0.connectTimeout = .zero },
            { $0.maximumMessageSize = 0 }, { $0.repeatLimit = -1 }, { $0.fastReconnectThreshold = -1 },
            { $0.maximumQueuedMessages = 0 }, { $0.maximumRunningListeners = 0 },
        ]
        for change in changes {
            var configuration = WebSocketConnector.Configuration()
            change(&configuration)
            let error = #expect(throws: WebSocketConnectorError.self) {
                try WebSocketConnector(url: "ws://localhost", configuration: configuration)
            }
            #expect(error?.code == .invalidConfiguration)
        }
    }
}
