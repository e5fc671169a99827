import Foundation
import Testing

extension EndToEnd {
    /// `crossserver emit`: its options, its output and its exit codes.
    @Suite
    struct EmitCommandTests {
        @Test(.timeLimit(.minutes(2)))
        func exitCodes() async throws {
            try await withServeCluster(redis: 1, ["a": [], "b": []]) { cluster in
                let node = cluster.redis[0].url
                let all = try await EmitResult.of(["echo", #"{"é":[1,2.5]}"#, "--redis", node])
                #expect(all.status == 0)
                #expect(Set(all.replies) == Set(["a", "b"].map { ServeCluster.echo($0, #"{"é":[1,2.5]}"#) }))
                #expect(all.errors == "")

                let one = try await EmitResult.of(["echo", "1", "--expect", "1", "--redis", node])
                #expect(one.status == 0)
                #expect(one.replies.count == 1)

                let room = #"{"namespace":"chat","roomId":"1"}"#
                let count = try await EmitResult.of(["countRoom", room, "--to", "b", "--redis", node])
                #expect(count.status == 0)
                #expect(count.replies == [#"{"server":"b","reply":{"count":0}}"#])

                let none = try await EmitResult.of(["echo", "--no-reply", "--redis", node])
                #expect(none.status == 0)
                #expect(none.replies == [])

                let targets = ["--to", "a", "--to", "nobody", "--timeout", "500"]
                let missing = try await EmitResult.of(["echo", "1", "--redis", node] + targets)
                #expect(missing.status == 3)
                #expect(missing.replies == [ServeCluster.echo("a", "1")])
                #expect(missing.errors.hasPrefix("nobody: "), "\(missing.errors)")

                let foreign = try await EmitResult.of(
                    ["echo", "\"\u{202E}\u{9B}\"", "--to", "a", "--to", "x\u{1B}", "--timeout", "500", "--redis", node]
                )
                #expect(foreign.replies == [ServeCluster.echo("a", #""\u202e\u009b""#)])
                #expect(foreign.errors.hasPrefix(#"x\u{1b}: "#), "\(foreign.errors)")

                let more = try await EmitResult.of(["echo", "1", "--expect", "3", "--timeout", "500", "--redis", node])
                #expect(more.status == 3)
                #expect(more.replies.count == 2)
                #expect(more.errors.hasPrefix("a server: "), "\(more.errors)")

                let failed = try await EmitResult.of(["countRoom", "{}", "--to", "a", "--redis", node])
                #expect(failed.status == 3)
                #expect(failed.replies == [])
                #expect(failed.errors.contains("roomId is missing"), "\(failed.errors)")

                // JSON, but no number that MessagePack can hold.
                let huge = try await EmitResult.of(["echo", "1e400", "--redis", node])
                #expect(huge.status == 64)
                #expect(huge.errors.hasPrefix("Error: the payload cannot be sent"), "\(huge.errors)")

                let unknown = try await EmitResult.of(["noSuchEvent", "--to", "a", "--redis", node])
                #expect(unknown.status == 3)
                #expect(unknown.errors.hasPrefix("a: "), "\(unknown.errors)")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func nobodyIsThere() async throws {
            let redis = try await RedisServer.start()
            let alone = try await EmitResult.of(["echo", "--redis", redis.url])
            #expect(alone.status == 3)
            #expect(alone.errors.contains("no other server"), "\(alone.errors)")
            try await redis.kill()
            let away = try await EmitResult.of(["echo", "--timeout", "500", "--redis", redis.url])
            #expect(away.status == 1)
            #expect(away.replies == [])
            #expect(away.errors.hasPrefix("Error: "), "\(away.errors)")
        }

        @Test(.timeLimit(.minutes(2)))
        func whatRedisRefusesIsSaid() async throws {
            let redis = try await RedisServer.start()
            for (name, right) in [("good", "+publish"), ("mute", "-publish")] {
                _ = try await redis.cli("ACL", "SETUSER", name, "on", ">pw", "&*", "+@pubsub", "+ping", "+role", right)
            }
            let server = try await ServeProcess.start(["--name", "a", "--redis", redis.url])
            let port = redis.port
            func emit(_ user: String) async throws -> EmitResult {
                let node = "redis://\(user)@127.0.0.1:\(port)"
                return try await EmitResult.of(["echo", "--timeout", "2000", "--redis", node])
            }
            let good = try await emit("good:pw")
            #expect(good.status == 0)
            #expect(good.errors == "")
            let mute = try await emit("mute:pw")
            #expect(mute.status != 0)
            #expect(mute.errors.contains("NOPERM"), "\(mute.errors)")
            let wrong = try await emit("good:no")
            #expect(wrong.status == 1)
            #expect(wrong.errors.contains("WRONGPASS"), "\(wrong.errors)")
            withExtendedLifetime((server, redis)) {}
        }

        @Test(.timeLimit(.minutes(2)))
        func optionsFromTheEnvironment() async throws {
            let redis = [try await RedisServer.start(), try await RedisServer.start()]
            let environment = [
                "CROSSSERVER_REDIS": redis.map(\.url).joined(separator: " "), "CROSSSERVER_JSON_BUS": "true",
                "CROSSSERVER_BRIDGE_PREFIX": "other:", "CROSSSERVER_STRATEGY": "round-robin",
            ]
            let server = try await ServeProcess.start(["--name", "a"], environment: environment)
            for redis in redis {
                let channels = try await redis.cli("PUBSUB", "CHANNELS")
                #expect(channels.split(separator: "\n").count { $0.hasPrefix("other:") } == 3, "\(channels)")
                #expect(!channels.contains("csbp:"))
            }
            for _ in 0..<4 {
                let result = try await EmitResult.of(["echo", "1"], environment: environment)
                #expect(result.status == 0)
                #expect(result.replies == [ServeCluster.echo("a", "1")])
            }
            let apart = try await EmitResult.of(["echo", "1", "--bridge-prefix", "csbp:"], environment: environment)
            #expect(apart.status == 3)
            try await server.stop()
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                ["emit"], ["emit", "echo"], ["emit", "echo", "{", "--redis", "127.0.0.1:1"],
                ["emit", "echo", "--redis", "http://127.0.0.1"],
                ["emit", "echo", "--redis", "127.0.0.1:1", "--timeout", "0"],
                ["emit", "echo", "--redis", "127.0.0.1:1", "--expect", "-1"],
                ["emit", "echo", "--redis", "127.0.0.1:1", "--strategy", "best"],
                ["serve", "--redis", "127.0.0.1:99999"], ["serve", "--no-websocket"], ["broker", "--port", "65536"],
                ["demo", "--port", "65535"],
            ]
        )
        func wrongOption(_ arguments: [String]) async throws {
            let program = try ExternalProgram(Tools.crossserver, arguments)
            let status = try await program.exitStatus(within: .seconds(30))
            #expect(status == 64)
            #expect(program.standardError.hasPrefix("Error: "), "\(program.standardError)")
            #expect(program.standardOutput == "")
        }

        @Test(.timeLimit(.minutes(1)))
        func serverWithoutWebSocket() async throws {
            let redis = try await RedisServer.start()
            let arguments = ["serve", "--no-websocket", "--name", "a", "--redis", redis.url]
            let server = try ExternalProgram(Tools.crossserver, arguments)
            try await server.wait(.seconds(30), for: "running") { server.standardOutput == "running\n" }
            let result = try await EmitResult.of(["echo", "1", "--redis", redis.url])
            #expect(result.status == 0)
            #expect(result.replies == [ServeCluster.echo("a", "1")])
            server.send(signal: SIGTERM)
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 0)
        }
    }
}
