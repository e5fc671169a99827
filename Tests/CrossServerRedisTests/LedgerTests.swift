import CrossServer
import CrossServerRedis
import CrossServerTesting
import Testing

/// What two servers have counted fits together, over `redis-server`.
@Suite struct LedgerTests {
    @Test(.timeLimit(.minutes(3)))
    func theLedgersAddUpWhenRedisServersDieAndHang() async throws {
        let redis = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        let nodes = try redis.map { try RedisNode($0.url) }
        let configuration = RedisBus.Configuration.quick { $0.strategy = .roundRobin }
        // One dies twice. The one that hangs may be given up.
        try await withBuses([nodes, nodes], configuration, connections: .again(4...8)) { buses in
            try await withCluster(["a", "b"], buses: buses) { servers in
                for (round, node) in [redis[0], redis[1], redis[0]].enumerated() {
                    for number in 0..<600 {
                        for server in servers {
                            try server.emitCrossServer("x", Payload(number), exceptSelf: true)
                            let other = server.serverName == "a" ? "b" : "a"
                            try server.emitCrossServer("y", Payload(number), to: .server(other))
                        }
                        if number == 200 { if round == 1 { node.freeze() } else { node.kill() } }
                        // Spreads the messages over the fault. However long it takes, the ledgers have to add up.
                        if number.isMultiple(of: 10) { try await Task.sleep(for: .milliseconds(1)) }
                    }
                    if round == 1 { node.thaw() } else { try await node.start() }
                    try await eventually("both links") {
                        servers.allSatisfy { $0.servers.allSatisfy { $0.links.count == 2 } }
                    }
                }
                let (a, b) = (servers[0], servers[1])
                try await eventually("the ledgers add up") {
                    let ledgers = (await a.deliveryLedger, await b.deliveryLedger)
                    return ledgers.0.accounts(forAllOf: ledgers.1) && ledgers.1.accounts(forAllOf: ledgers.0)
                }
                let ledger = await a.deliveryLedger
                #expect(ledger.sent >= 3_600)
                #expect(ledger.refused == 0)
                #expect(ledger.received["b"]?.missed == 0)
                #expect(ledger.received["b"]?.unknownGaps == 0)
            }
        }
    }
}

extension DeliveryLedger {
    /// Whether the one server has all that the other has sent. Of two servers each hears all of the other's.
    fileprivate func accounts(forAllOf other: DeliveryLedger) -> Bool {
        self.received.values.contains {
            $0.incarnation == other.incarnation && $0.isBalanced && $0.pending == 0 && $0.sent == other.sent
        }
    }
}
