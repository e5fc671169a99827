import CrossServer
import CrossServerBus
import CrossServerTesting
import MetricsTestKit
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// What the servers have counted fits together.
@Suite(.timeLimit(.minutes(3)))
struct LedgerTests {
    @Test func theLedgersAddUpWhenMessagesAreLostAndRepeated() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = (0..<3).map { _ in UnreliableBus(hub.makeBus()) }
        let local = WebSocketCrossServerAdapter.loopback
        try await withCluster(["a", "b", "c"], listening: local, buses: buses) { servers in
            for bus in buses { bus.isUnreliable = true }
            for number in 0..<300 {
                for server in servers {
                    try server.emitCrossServer("x", Payload(number), exceptSelf: true)
                    try server.broadcast("y", Payload(number))
                    let other = number.isMultiple(of: 2) ? "b" : "c"
                    try server.emitCrossServer("z", Payload(number), to: .server(other), exceptSelf: true)
                }
                if number.isMultiple(of: 50) { try await Task.sleep(for: .milliseconds(5)) }
            }
            try await eventually(within: .seconds(60)) { await Self.haveAllMissedSome(servers) }
            for bus in buses { bus.isUnreliable = false }
            try await eventually(within: .seconds(60)) { try await Self.addUp(servers) }
            let ledgers = try await servers[0].clusterLedger(timeout: .seconds(60))
            #expect(ledgers.isComplete)
            #expect(Set(ledgers.value.keys) == ["a", "b", "c"])
            #expect(ledgers.value.values.allSatisfy { $0.isBalanced })
            for server in servers {
                let ledger = await server.deliveryLedger
                for received in ledger.received.values {
                    #expect(received.missed == 0 && received.unknownGaps == 0)
                }
            }
        }
    }

    @Test func withBestEffortAMessageMayBeLostAndNeverComesTwice() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = (0..<2).map { _ in UnreliableBus(hub.makeBus()) }
        let numbers = Mutex<[Int]>([])
        let prepare: @Sendable (WebSocketCrossServerAdapter) -> Void = { adapter in
            adapter.onCrossServerEvent("position") { event, _ in
                numbers.withLock { $0.append(Int(event.payload.json) ?? -1) }
            }
        }
        try await withCluster(["a", "b"], buses: buses, prepare: prepare) { servers in
            buses[1].isUnreliable = true
            for number in 0..<200 {
                try servers[0].emitCrossServer(
                    "position",
                    Payload(number),
                    to: .server("b"),
                    delivery: .bestEffort
                )
            }
            try servers[0].emitCrossServer("position", 1_000, to: .server("b"))
            try await eventually { numbers.withLock { $0.last == 1_000 } }
            buses[1].isUnreliable = false
            let received = numbers.withLock { $0 }
            #expect(received == received.sorted())
            #expect(Set(received).count == received.count)
            #expect(100..<200 ~= received.count)
            let ledger = await servers[0].deliveryLedger
            #expect(ledger.bestEffort == 200)
            #expect(ledger.sentTo == ["b": 1])
        }
    }

    /// Whether each has got messages from all others, some of them late and some of them twice.
    private static func haveAllMissedSome(_ servers: [WebSocketCrossServerAdapter]) async -> Bool {
        for server in servers {
            let received = await server.deliveryLedger.received.values
            guard received.count == servers.count - 1,
                received.allSatisfy({ $0.delivered > 0 && $0.repaired > 0 && $0.repeats > 0 })
            else { return false }
        }
        return true
    }

    /// Whether each has accounted for all that the others have sent, except what these sent to a third one alone.
    private static func addUp(_ servers: [WebSocketCrossServerAdapter]) async throws -> Bool {
        var ledgers: [String: DeliveryLedger] = [:]
        for server in servers { ledgers[server.serverName] = await server.deliveryLedger }
        for (name, ledger) in ledgers {
            for (sender, theirs) in ledgers where sender != name {
                let notForThis = theirs.sentTo.filter { $0.key != name }.values.reduce(0, +)
                guard let received = ledger.received[sender], received.incarnation == theirs.incarnation,
                    received.isBalanced, received.pending == 0, received.sent == theirs.sent - notForThis
                else { return false }
            }
        }
        return true
    }

    @Test func whatIsCountedIsGivenToTheMetrics() async throws {
        let metrics = TestMetrics()
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.metricsFactory = metrics
        let prepare: @Sendable (WebSocketCrossServerAdapter) -> Void = { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
            adapter.onCrossServerEvent("ask") { _, reply in reply?(1) }
        }
        let local = WebSocketCrossServerAdapter.loopback
        try await withCluster(["a", "b"], listening: local, configuration: configuration, prepare: prepare) { servers in
            let client = try await TestClient.connect(to: try #require(servers[0].listeningAddress))
            for _ in 0..<3 { _ = try await client.request("echo") }
            #expect(try await servers[0].emitCrossServer("ask", timeout: .seconds(60)).replies.count == 2)
            for _ in 0..<2 { try servers[1].emitCrossServer("x", to: .server("a")) }
            try await eventually { servers.allSatisfy(\.readiness.isReady) }
            try await eventually {
                for server in servers { try await server.updateMetrics() }
                return metrics.count("delivery.received", "a", ["peer": "b", "outcome": "delivered"]) == 3
            }
            #expect(metrics.count("client.messages", "a", ["direction": "received"]) == 3)
            #expect(metrics.count("client.messages", "a", ["direction": "sent"]) == 3)
            #expect(try metrics.level("connections", "a") == 1)
            #expect(try metrics.level("connections", "b") == 0)
            #expect(try metrics.level("ready", "a") == 1)
            #expect(try metrics.level("cluster.servers", "a", ["kind": "live"]) == 2)
            #expect(try metrics.level("bus.link.up", "a", ["link": "in process"]) == 1)
            #expect(metrics.count("delivery.sent", "b") == 3)
            #expect(metrics.count("delivery.owed", "a", ["peer": "b"]) == 3)
            #expect(try metrics.level("delivery.pending", "a", ["peer": "b"]) == 0)
            client.close()
        }
        #expect(try metrics.level("connections", "a") == 0)
        #expect(try metrics.level("ready", "a") == 0)
    }
}

extension WebSocketCrossServerAdapter {
    fileprivate static var loopback: ListenAddress { .host("127.0.0.1", port: 0) }
}

extension TestMetrics {
    fileprivate func count(_ label: String, _ server: String, _ dimensions: [String: String] = [:]) -> Int64 {
        self.counterTotal(label: "crossserver.\(label)", dimensions: Self.all(server, dimensions))
    }

    fileprivate func level(_ label: String, _ server: String, _ dimensions: [String: String] = [:]) throws -> Double? {
        try self.expectGauge("crossserver.\(label)", Self.all(server, dimensions)).lastValue
    }

    private static func all(_ server: String, _ dimensions: [String: String]) -> [(String, String)] {
        [("server", server)] + dimensions.map { ($0.key, $0.value) }
    }
}

/// Loses one in seven of the messages that come, and gives on one in five twice: by chance, as a count can keep step with
/// the messages of one sender and spare those of another.
private final class UnreliableBus: ForwardingBus {
    let bus: any Bus
    private let state = Mutex(false)

    init(_ bus: any Bus) {
        self.bus = bus
    }

    var isUnreliable: Bool {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }

    private struct Receiver: BusReceiver {
        let bus: UnreliableBus
        let receiver: any BusReceiver

        func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
            let isUnreliable = self.bus.isUnreliable
            if isUnreliable, Int.random(in: 0..<7) == 0 { return }
            self.receiver.received(message, on: channel, over: link)
            if isUnreliable, Int.random(in: 0..<5) == 0 { self.receiver.received(message, on: channel, over: link) }
        }

        func linkChanged(_ status: BusLinkStatus) { self.receiver.linkChanged(status) }
    }

    func run(_ receiver: any BusReceiver) async throws {
        try await self.bus.run(Receiver(bus: self, receiver: receiver))
    }
}
