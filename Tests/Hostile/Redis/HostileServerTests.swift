import CrossServerRedis
import NIOCore
import Testing

@testable import CrossServerRedisTests

/// Servers that do not keep to the protocol: told, given up, and used again when they are in order.
@Suite struct HostileServerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var command: String
        /// Nil: none. Empty: the connection is closed.
        var answer: String?
        var testDescription: String {
            "\(self.command) \(self.answer.map { "\($0.prefix(40).debugDescription)" } ?? "-")"
        }
    }

    private static let nonsense = [
        "nonsense\r\n", "*1000000000\r\n", "$99999999999\r\n", ":x\r\n", "*-5\r\n", "\u{0}\r\n", "%1\r\n+a\r\n",
        String(repeating: "+", count: 100_000), String(repeating: "*1\r\n", count: 100), "", nil,
    ]

    @Test(
        .timeLimit(.minutes(3)),
        arguments: Self.nonsense.flatMap { answer in
            ["PING", "SUBSCRIBE", "PUBLISH"].map { Case(command: $0, answer: answer) }
        }
            + [
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nX\r\n:1\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n", ":5\r\n",
                "*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n", "+PONG\r\n", "*0\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
                "*3\r\n:1\r\n:2\r\n:3\r\n", "-ERR odd\r\n-ERR odd\r\n",
            ].map { Case(command: "SUBSCRIBE", answer: $0) }
            + [
                "+OK\r\n", ":1\r\n:1\r\n", "*0\r\n", "$1\r\n1\r\n", "-ERR odd\r\n:1\r\n",
            ].map { Case(command: "PUBLISH", answer: $0) }
    )
    func breaksTheProtocol(_ test: Case) async throws {
        let server = try await ScriptedRedis.start { command in
            command.first == test.command ? test.answer : ScriptedRedis.good(command)
        }
        var node = try RedisNode(server.url)
        node.connectTimeout = .milliseconds(300)
        let configuration = RedisBus.Configuration.quick {
            $0.publishDeadline = .milliseconds(300)
            $0.probeDeadline = .milliseconds(300)
            $0.probeInterval = .milliseconds(100)
            $0.maximumMessageSize = 10_000
        }
        try await withBus([node], configuration, connections: .again(0...100)) { bus, recorder in
            bus.subscribe(to: ["c"])
            if test.command == "PUBLISH" {
                try await bus.ready(1)
                do { _ = try await bus.send("x", to: "c") } catch is BusError {}
            }
            try await eventually("told: \(recorder.reports)") { recorder.reports.contains { $0.error != nil } }
            #expect(recorder.reports.allSatisfy { ($0.error?.count ?? 0) < 1_000 })
            server.change(ScriptedRedis.good)
            try await bus.ready(1)
            try await eventually("published") {
                do { return try await bus.send("x", to: "c").receivers == 7 } catch is BusError { return false }
            }
            // No storm of connections meanwhile.
            #expect(server.connections < 1_000)
        }
        try await server.stop()
    }

    @Test(.timeLimit(.minutes(3)))
    func aServerThatLosesItsMasterIsOutOfUseUntilItIsBack() async throws {
        let server = try await ScriptedRedis.start(ScriptedRedis.good)
        let configuration = RedisBus.Configuration.quick { $0.probeInterval = .milliseconds(50) }
        try await withBus([try RedisNode(server.url)], configuration, connections: .again(2...99)) { bus, recorder in
            try await bus.ready(1)
            server.change { $0.first == "PING" ? "-MASTERDOWN Link with MASTER is down\r\n" : ScriptedRedis.good($0) }
            try await eventually("out of use") { bus.links.allSatisfy { !$0.canPublish && !$0.canReceive } }
            try await eventually("told why") {
                recorder.reports.filter { $0.error?.contains("MASTERDOWN") == true }.count >= 2
            }
            server.change(ScriptedRedis.good)
            try await bus.ready(1)
        }
        try await server.stop()
    }

    /// What is published there reaches its own subscribers alone, whether its master can be found or not.
    @Test(.timeLimit(.minutes(3)))
    func aReplicaIsNotUsedUntilItIsAMaster() async throws {
        let master = try RedisServerProcess()
        let replica = try RedisServerProcess(
            ["--replicaof", "127.0.0.1 \(master.port)", "--replica-serve-stale-data", "no"],
            isReady: { $0.contains("MASTERDOWN") }
        )
        try await replica.start()
        try await withBus([try RedisNode(replica.url)], connections: .neverAgain) { bus, recorder in
            try await eventually("told") {
                Set(recorder.reports.filter { $0.error?.contains("not the master") == true }.map(\.type)).count == 2
            }
            try await master.start()
            #expect(bus.links.first?.problem?.contains("not the master") == true)
            try replica.cli("REPLICAOF", "NO", "ONE")
            try await bus.ready(1)
        }
    }
}
