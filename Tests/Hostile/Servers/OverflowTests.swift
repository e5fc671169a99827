import CrossServer
import CrossServerBus
import CrossServerTesting
import MetricsTestKit
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// What comes in made-up names is dropped, and counted.
@Suite(.timeLimit(.minutes(3)))
struct OverflowTests {
    private static let channel = "csbp:server_bridge"

    private static func message(of incarnation: UInt64) throws -> ByteBuffer {
        var message = ByteBuffer(bytes: [0x81, 0xa1, 0x78, 0xc0])
        let stamp = Stamp(incarnation: incarnation, number: 1, uptime: 1, sincePrevious: Stamp.first)
        try #require(stamp.append(to: &message))
        return message
    }

    @Test func strangersSilenceNobodyAndAreCounted() async throws {
        let metrics = TestMetrics()
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.metricsFactory = metrics
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = (0..<2).map { _ in hub.makeBus() }
        let heard = Mutex(0)
        let prepare: (WebSocketCrossServerAdapter) -> Void = { adapter in
            adapter.onCrossServerEvent("x") { _, _ in heard.withLock { $0 += 1 } }
        }
        try await withCluster(["a", "b"], configuration: configuration, buses: buses, prepare: prepare) { servers in
            let link = try #require(buses[1].links.first).link
            for stranger in 1...UInt64(1_500) {
                try buses[1].publish(Self.message(of: stranger), to: Self.channel, over: link, completion: nil)
            }
            let all = [("server", "a"), ("kind", "unproved")]
            try await eventually {
                try await servers[0].updateMetrics()
                return metrics.counterTotal(label: "crossserver.cluster.overflows", dimensions: all) >= 1_500 - 1_024
            }
            #expect(metrics.counterTotal(label: "crossserver.cluster.overflows", dimensions: all) == 1_500 - 1_024)
            try servers[1].emitCrossServer("x", to: .server("a"))
            try servers[1].emitCrossServer("x", exceptSelf: true)
            try await eventually { heard.withLock { $0 } == 2 }
        }
    }
}
