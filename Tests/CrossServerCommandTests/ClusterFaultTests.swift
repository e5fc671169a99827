import Foundation
import Testing

extension EndToEnd {
    /// Processes over real Redis servers, with what goes wrong there.
    @Suite
    struct ClusterFaultTests {
        @Test(.timeLimit(.minutes(2)))
        func everyAnswerComesOverWhicheverRedis() async throws {
            for strategy in ["random", "round-robin", "fastest"] {
                let options = ["--strategy", strategy]
                try await withServeCluster(redis: 2, ["a": options, "b": options + ["--json-bus"]]) { cluster in
                    // Each time a server that has just joined asks, over the Redis that it has reached first.
                    for number in 0..<20 {
                        let result = try await EmitResult.of(["echo", "\(number)"] + cluster.options + options)
                        #expect(result.status == 0, "\(result)")
                        #expect(Set(result.replies) == Set(["a", "b"].map { ServeCluster.echo($0, "\(number)") }))
                    }
                }
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func oneRedisIsKilled() async throws {
            try await withServeCluster(redis: 2, ["a": [], "b": [], "c": ["--json-bus"]]) { cluster in
                try await cluster.redis[0].kill()
                for number in 0..<5 {
                    let all = try await cluster.allAnswer("\(number)")
                    #expect(all)
                }
                try await cluster.redis[0].restart()
                try await cluster.allComeBack(over: cluster.redis[0])
                try await cluster.redis[1].kill()
                try await cluster.allComeBack()
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func oneRedisHangs() async throws {
            try await withServeCluster(redis: 2, ["a": [], "b": [], "c": []]) { cluster in
                cluster.redis[0].freeze()
                // It is out of use when its probes, made every 5 s, were not answered for 2 s.
                try await cluster.allComeBack()
                for server in cluster.servers.values {
                    try await server.program.wait(.seconds(30), for: "the loss of what hangs") {
                        server.program.standardError.contains("127.0.0.1:\(cluster.redis[0].port)")
                    }
                }
                for number in 0..<5 {
                    let all = try await cluster.allAnswer("\(number)")
                    #expect(all)
                }
                cluster.redis[0].thaw()
                try await cluster.allComeBack(over: cluster.redis[0])
                try await cluster.redis[1].kill()
                try await cluster.allComeBack()
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func everyRedisIsAway() async throws {
            try await withServeCluster(redis: 2, ["a": [], "b": [], "c": []]) { cluster in
                for redis in cluster.redis { try await redis.kill() }
                let result = try await cluster.emit("1", timeout: 1_000)
                #expect(result.status == 1)
                #expect(result.replies == [])
                #expect(result.errors.hasPrefix("Error: "), "\(result.errors)")
                for server in cluster.servers.values {
                    try await ConversationClient.pythonWebsockets.hold(["echo"], at: server.url)
                }
                for redis in cluster.redis { try await redis.restart() }
                for redis in cluster.redis { try await cluster.allComeBack(over: redis) }
                let all = try await cluster.allAnswer()
                #expect(all)
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func subscribersAreCut() async throws {
            try await withServeCluster(redis: 1, ["a": [], "b": []]) { cluster in
                for _ in 0..<3 {
                    let cut = try await cluster.redis[0].cli("CLIENT", "KILL", "TYPE", "pubsub")
                    #expect(cut == "2\n")
                    try await cluster.allComeBack(over: cluster.redis[0])
                    let all = try await cluster.allAnswer()
                    #expect(all)
                }
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func nameThatIsTaken() async throws {
            try await withServeCluster(redis: 2, ["a": [], "b": []]) { cluster in
                let second = try ExternalProgram(
                    Tools.crossserver,
                    ["serve", "--port", "0", "--name", "a"] + cluster.options
                )
                let status = try await second.exitStatus(within: .seconds(60))
                #expect(status == 1)
                #expect(second.standardError.contains("another server of the cluster has the name a"))
                // The older one stays, and the name is free for others when it goes.
                let all = try await cluster.allAnswer()
                #expect(all)
                try await #require(cluster.servers.removeValue(forKey: "a")).stop()
                try await cluster.start("a")
                try await cluster.allComeBack()
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func redisComesAfterTheServers() async throws {
            var cluster = ServeCluster(redis: [try await RedisServer.start()])
            try await cluster.redis[0].kill()
            for name in ["a", "b"] { try await cluster.start(name) }
            for server in cluster.servers.values {
                #expect(server.program.standardError.contains("no other server can be reached"))
                try await ConversationClient.pythonWebsockets.hold(["echo"], at: server.url)
            }
            try await cluster.redis[0].restart()
            try await cluster.allComeBack(over: cluster.redis[0])
            let all = try await cluster.allAnswer()
            #expect(all)
            try await cluster.stop()
        }
    }
}
