import Foundation
import Testing

extension EndToEnd {
    /// `crossserver broker` and `crossserver demo`.
    @Suite
    struct BrokerCommandTests {
        @Test(.timeLimit(.minutes(2)))
        func otherClients() async throws {
            let broker = try ExternalProgram(
                Tools.crossserver,
                ["broker", "--port", "0"],
                environment: ["CROSSSERVER_PASSWORD": "secret"]
            )
            let port = try await Self.listening(broker)
            for version in ["2", "3"] {
                let cli = ["-\(version)", "-p", "\(port)", "-a", "secret", "--no-auth-warning"]
                let pong = try await ExternalProgram.run(Tools.program("redis-cli"), cli + ["ping"])
                #expect(pong == "PONG\n")
                let arguments = [try Tools.script("redis-py.py"), "\(port)", "secret", version]
                let said = try await ExternalProgram.run(Tools.python, arguments)
                #expect(said == "fine\n")
            }
            try await Self.stop(broker, SIGINT)
        }

        /// As over Redis.
        @Test(.timeLimit(.minutes(2)))
        func servers() async throws {
            let broker = try ExternalProgram(Tools.crossserver, ["broker"], environment: ["CROSSSERVER_PORT": "0"])
            let url = "redis://127.0.0.1:\(try await Self.listening(broker))"
            let first = try await ServeProcess.start(["--name", "serverA", "--redis", url])
            let second = try await ServeProcess.start(["--name", "serverB", "--redis", url, "--json-bus"])
            let conversations = ["asksOurs", "asksOne", "answersAll", "falseReplies", "garbage"]
            try await OriginalClusterTests.hold(conversations, at: url)
            let result = try await EmitResult.of(["echo", "1", "--redis", url])
            #expect(result.status == 0)
            #expect(Set(result.replies) == Set(["serverA", "serverB"].map { ServeCluster.echo($0, "1") }))
            for server in [first, second] { try await server.stop() }
            try await Self.stop(broker, SIGTERM)
        }

        @Test(.timeLimit(.minutes(1)))
        func portInUse() async throws {
            let broker = try ExternalProgram(Tools.crossserver, ["broker", "--port", "0"])
            let port = try await Self.listening(broker)
            let second = try ExternalProgram(Tools.crossserver, ["broker", "--port", "\(port)"])
            let status = try await second.exitStatus(within: .seconds(30))
            #expect(status == 1)
            #expect(second.standardError.contains("\(port)"), "\(second.standardError)")
            try await Self.stop(broker, SIGTERM)
        }

        @Test(.timeLimit(.minutes(1)), arguments: [SIGINT, SIGTERM])
        func demo(_ signal: Int32) async throws {
            let demo = try ExternalProgram(Tools.crossserver, ["demo", "--port", "0"])
            let names = ["serverA", "serverB", "serverC"]
            try await demo.wait(.seconds(60), for: "three servers") {
                names.allSatisfy { demo.standardOutput.contains("\($0) listening on 127.0.0.1:") }
            }
            let node = try Self.find(#"--redis (\S+)\n"#, in: demo)
            let result = try await EmitResult.of(["echo", #"{"hello":1}"#, "--redis", node])
            #expect(result.status == 0)
            #expect(Set(result.replies) == Set(names.map { ServeCluster.echo($0, #"{"hello":1}"#) }))
            let second = try Self.find(#"serverB listening on (\S+)\n"#, in: demo)
            try await ConversationClient.pythonWebsockets.hold(["echo"], at: "ws://\(second)")
            try await Self.stop(demo, signal)
        }

        private static func listening(_ program: ExternalProgram) async throws -> Int {
            try await program.wait(.seconds(60), for: "listening") { program.standardOutput.hasSuffix("\n") }
            guard let port = Int(try Self.find(#"^listening on 127\.0\.0\.1:([0-9]+)\n$"#, in: program)) else {
                throw program.failure("does not say where it listens")
            }
            return port
        }

        private static func find(_ pattern: String, in program: ExternalProgram) throws -> String {
            let regex = try Regex(pattern, as: (Substring, Substring).self)
            guard let match = try regex.firstMatch(in: program.standardOutput) else {
                throw program.failure("does not print \(pattern)")
            }
            return String(match.1)
        }

        private static func stop(_ program: ExternalProgram, _ signal: Int32) async throws {
            program.send(signal: signal)
            let status = try await program.exitStatus(within: .seconds(30))
            guard status == 0 else { throw program.failure("ended with status \(status)") }
        }
    }
}
