import CrossServerRESP
import CrossServerRedis
import Foundation
import NIOCore
import Testing

/// Clients of other makers.
@Suite struct BrokerClientTests {
    @Test(.timeLimit(.minutes(3)))
    func redisCLI() async throws {
        try await withBroker { _, address in
            let port = "\(try #require(address.port))"
            #expect(try await RedisTool.run("redis-cli", ["-p", port, "ping"]) == "PONG\n")
            #expect(try await RedisTool.run("redis-cli", ["-3", "-p", port, "publish", "a", "b"]) == "0\n")
            #expect(try await RedisTool.run("redis-cli", ["-p", port, "info", "replication"]).contains("role:master"))
            #expect(try await RedisTool.run("redis-cli", ["-p", port, "get", "x"]).contains("unknown command"))
            for version in ["-2", "-3"] {
                let subscriber = try RedisTool("redis-cli", [version, "-p", port, "subscribe", "news", "other"])
                try await subscriber.wait { $0.output.contains("other") }
                #expect(try await RedisTool.run("redis-cli", ["-p", port, "publish", "news", "hello there"]) == "1\n")
                try await subscriber.wait { $0.output.contains("hello there") }
                let kill = ["-p", port, "client", "kill", "type", "pubsub"]
                #expect(try await RedisTool.run("redis-cli", kill) == "1\n")
                subscriber.stop()
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func redisCLIWithAPassword() async throws {
        try await withBroker {
            $0.username = "app"
            $0.password = "secret"
        } _: { _, address in
            let url = "redis://app:secret@127.0.0.1:\(try #require(address.port))/0"
            #expect(try await RedisTool.run("redis-cli", ["--no-auth-warning", "-u", url, "ping"]) == "PONG\n")
            let wrong = url.replacing("secret", with: "wrong")
            let refused = try await RedisTool.run("redis-cli", ["--no-auth-warning", "-u", wrong, "ping"])
            #expect(refused.contains("NOAUTH"))
        }
    }

    /// Also a look at speed: 100,000 publishes to a subscriber, pipelined.
    @Test(.timeLimit(.minutes(3)))
    func redisBenchmark() async throws {
        try await withBroker { _, address in
            let port = "\(try #require(address.port))"
            try await BrokerPeer.with(address) { subscriber in
                _ = try await subscriber.ask("SUBSCRIBE a")
                let arguments = ["-p", port, "-n", "100000", "-c", "10", "-P", "32", "--csv", "PUBLISH", "a", "hello"]
                let benchmark = try RedisTool("redis-benchmark", arguments)
                for _ in 0..<100_000 { #expect(try await subscriber.next()?.elements?.count == 3) }
                try await benchmark.waitForSuccess()
                #expect(benchmark.output.contains("PUBLISH a hello"))
            }
            let pings = ["-p", port, "-n", "1000", "-t", "ping_inline,ping_mbulk", "-q"]
            #expect(try await RedisTool.run("redis-benchmark", pings).contains("requests per second"))
        }
    }

    @Test(.timeLimit(.minutes(3)), arguments: [2, 3])
    func redisPy(version: Int) async throws {
        try await withBroker {
            $0.password = "secret"
        } _: { _, address in
            let script = RedisTool.packageRoot.appending(path: "Tests/Clients/redis-py.py").path
            let arguments = [script, "\(try #require(address.port))", "secret", "\(version)"]
            #expect(try await RedisTool.run(RedisTool.python.path, arguments) == "fine\n")
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func nodeRedis() async throws {
        try await withBroker {
            $0.password = "secret"
        } _: { _, address in
            let script = RedisTool.packageRoot.appending(path: "Tests/Clients/node-redis.js").path
            let arguments = ["NODE_PATH=/usr/share/nodejs", "node", script, "\(try #require(address.port))", "secret"]
            #expect(try await RedisTool.run("env", arguments) == "fine\n")
        }
    }
}
