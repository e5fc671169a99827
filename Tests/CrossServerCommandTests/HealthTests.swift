import Foundation
import Testing

extension EndToEnd {
    /// `crossserver serve --health-port`: what a probe of Kubernetes asks; see Tests/Clients/health.py.
    @Suite
    struct HealthTests {
        @Test(.timeLimit(.minutes(1)))
        func aSingleServer() async throws {
            let port = Self.port
            try await withServe(["--health-port", "\(port)"]) { _ in try await Self.expect(port, "ready") }
        }

        @Test(.timeLimit(.minutes(2)))
        func whileRedisIsAway() async throws {
            let redis = try await RedisServer.start()
            let port = Self.port
            let arguments = ["serve", "--no-websocket", "--health-port", "\(port)", "--redis", redis.url]
            let server = try ExternalProgram(Tools.crossserver, arguments)
            try await server.wait(.seconds(60), for: "running") { server.standardOutput == "running\n" }
            try await Self.expect(port, "ready")
            redis.freeze()
            try await Self.expect(port, "unready", "no message comes back over 127.0.0.1:\(redis.port)")
            redis.thaw()
            try await Self.expect(port, "ready")
            try await redis.kill()
            try await Self.expect(port, "unready")
            try await redis.restart()
            try await Self.expect(port, "ready")
            server.send(signal: SIGTERM)
            let status = try await server.exitStatus(within: .seconds(60))
            #expect(status == 0)
        }

        @Test(.timeLimit(.minutes(1)))
        func portInUse() async throws {
            try await withServe { server in
                let second = try ExternalProgram(
                    Tools.crossserver,
                    ["serve", "--port", "0", "--health-port", "\(server.port)"]
                )
                let status = try await second.exitStatus(within: .seconds(30))
                #expect(status == 1)
                #expect(second.standardError.contains("cannot listen at 127.0.0.1:\(server.port)"))
            }
        }

        private static var port: Int { .random(in: 32_000..<32_700) }

        private static func expect(_ port: Int, _ arguments: String...) async throws {
            let script = [try Tools.script("health.py"), "\(port)"] + arguments
            try await ExternalProgram.run(Tools.python, script, within: .seconds(60))
        }
    }
}
