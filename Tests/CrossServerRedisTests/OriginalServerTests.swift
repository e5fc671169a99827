import CrossServer
import CrossServerRedis
import Testing

/// A server of the original that knows only one of two Redis nodes.
@Suite struct OriginalServerTests {
    private static let namespaces = (0..<20).map { "n\($0)" }
    private static let channels = Self.namespaces.map { "ws:\($0)" } + ["ws:broadcast", "news"]

    @Test(
        .timeLimit(.minutes(3)),
        arguments: [0, 1],
        [WebSocketCrossServerAdapter.Configuration.DeliveryGuarantee.ordered, .bestEffort]
    )
    func itHearsWhatConcernsIt(
        known: Int,
        delivery: WebSocketCrossServerAdapter.Configuration.DeliveryGuarantee
    ) async throws {
        let redis = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        let nodes = try redis.map { try RedisNode($0.url) }
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.delivery = delivery
        try await withBuses([nodes, nodes]) { buses in
            let servers = zip(["a", "b"], buses).map {
                WebSocketCrossServerAdapter(serverName: $0, bus: $1, configuration: configuration)
            }
            let running = servers.map { server in Task { try await server.run() } }
            defer { for task in running { task.cancel() } }
            try await eventually("both over both") {
                servers.allSatisfy { server in
                    server.servers.count == 2 && server.servers.allSatisfy { $0.links.count == 2 }
                }
            }
            try await withBus([nodes[known]]) { bus, original in
                try await bus.ready(1)
                let channels = Self.channels + ["csbp:server_bridge"]
                try await bus.subscribed(to: channels)
                var round = 0
                func send() throws {
                    round += 1
                    let payload = Payload("round \(round).")
                    for namespace in Self.namespaces {
                        try servers[0].broadcastToRoom("r", in: namespace, "x", payload)
                    }
                    try servers[0].broadcast("x", payload)
                    try servers[0].publishMessage(payload, toChannel: "news")
                }
                func count(_ round: Int) -> Int {
                    original.messages.count {
                        $0.channel != "csbp:server_bridge" && $0.text.contains("round \(round).")
                    }
                }
                // It is counted once a second. Until then some go where it does not hear them.
                try await eventually("a whole round") {
                    try send()
                    for _ in 0..<100 where count(round) < Self.channels.count {
                        try await Task.sleep(for: .milliseconds(10))
                    }
                    return count(round) == Self.channels.count
                }
                let first = round + 1
                for _ in 0..<20 { try send() }
                try await eventually("twenty rounds") {
                    (first...round).allSatisfy { count($0) == Self.channels.count }
                }
            }
        }
    }
}

extension RedisBus {
    fileprivate func subscribed(to channels: [String]) async throws {
        self.subscribe(to: channels)
        try await self.subscribed(to: channels, within: .seconds(60))
    }
}
