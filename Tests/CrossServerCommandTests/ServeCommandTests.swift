import Foundation
import Testing

extension EndToEnd {
    /// `crossserver serve` as a process: its options, its output and its end.
    @Suite
    struct ServeCommandTests {
        @Test(.timeLimit(.minutes(2)), arguments: [SIGTERM, SIGINT])
        func stopsGracefully(_ signal: Int32) async throws {
            let server = try await ServeProcess.start()
            let arguments = ["\(server.port)", "\(server.program.processIdentifier)", "\(signal)"]
            do {
                try await ExternalProgram.run(Tools.python, [Tools.script("graceful_stop.py")] + arguments)
            } catch {
                throw server.program.failure("served while this failed: \(error)")
            }
            try await server.stopped()
        }

        @Test(.timeLimit(.minutes(1)), arguments: [SIGTERM, SIGINT])
        func stopsWithoutClients(_ signal: Int32) async throws {
            let server = try await ServeProcess.start()
            try await server.stop(signal: signal)
        }

        @Test(.timeLimit(.minutes(1)))
        func portInUse() async throws {
            try await withServe { server in
                let second = try ExternalProgram(Tools.crossserver, ["serve", "--port", "\(server.port)"])
                let status = try await second.exitStatus(within: .seconds(30))
                #expect(status == 1)
                #expect(second.standardError.contains("\(server.port)"), "\(second.standardError)")
                #expect(second.standardOutput == "")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func aNameThatOthersWouldNotBelieve() async throws {
            let name = String(repeating: "x", count: 256)
            let server = try ExternalProgram(Tools.crossserver, ["serve", "--port", "0", "--name", name])
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 1)
            #expect(server.standardError.contains("serverName must have 1 to 255 bytes"), "\(server.standardError)")
        }

        @Test(.timeLimit(.minutes(1)), arguments: [[], ["--page"]] as [[String]])
        func anIPv6AddressStandsInBrackets(options: [String]) async throws {
            let server = try ExternalProgram(
                Tools.crossserver,
                ["serve", "--host", "::1", "--port", "0"] + options
            )
            try await server.wait(.seconds(30), for: "the line") { server.standardOutput.hasSuffix("\n") }
            let line = server.standardOutput
            #expect(line.wholeMatch(of: /listening on \[::1\]:[0-9]+\n/) != nil, "\(line)")
            server.send(signal: SIGTERM)
            #expect(try await server.exitStatus(within: .seconds(30)) == 0)
        }

        @Test(.timeLimit(.minutes(1)))
        func hostThatDoesNotExist() async throws {
            let server = try ExternalProgram(
                Tools.crossserver,
                ["serve", "--host", "no.such.host.invalid", "--port", "0"]
            )
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 1)
            #expect(server.standardError.contains("no.such.host.invalid"), "\(server.standardError)")
            #expect(server.standardOutput == "")
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                ["--port", "abc"], ["--port", "65536"], ["--port=-1"], ["--port"], ["--host"], ["--heartbeat"],
                ["--handshake-timeout", "soon"], ["--handshake-timeout", "0"], ["--ping-interval=-1"],
                ["--max-message-size", "1e6"], ["--max-connections", "0"], ["--log-level", "loud"],
                ["--tls-certificate", "only.pem"], ["--no-such-option"],
            ]
        )
        func wrongOption(_ arguments: [String]) async throws {
            let server = try ExternalProgram(Tools.crossserver, ["serve"] + arguments)
            let status = try await server.exitStatus(within: .seconds(30))
            let option = try #require(arguments[0].split(separator: "=").first)
            #expect(status == 64)
            #expect(server.standardError.contains(option), "\(server.standardError)")
            #expect(server.standardOutput == "")
        }

        @Test(.timeLimit(.minutes(1)))
        func wrongEnvironmentVariable() async throws {
            let server = try ExternalProgram(Tools.crossserver, ["serve"], environment: ["CROSSSERVER_PORT": "abc"])
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 64)
            #expect(server.standardError.contains("CROSSSERVER_PORT"), "\(server.standardError)")
        }

        @Test(.timeLimit(.minutes(2)))
        func optionFromTheEnvironment() async throws {
            let server = try await ServeProcess.start(environment: ["CROSSSERVER_HEARTBEAT": #"{"type":"hb"}"#])
            try await ConversationClient.nodeWs.hold(["heartbeatText"], at: server.url)
            try await server.stop()
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                (["--help"], ["serve", "connect"]),
                (["connect", "--help"], ["URL", "--log-level"]),
                (["serve", "--help"], ["--host", "--port", "--name", "--heartbeat", "--compression", "--log-level"]),
            ]
        )
        func help(_ arguments: [String], _ mentions: [String]) async throws {
            let text = try await ExternalProgram.run(Tools.crossserver, arguments)
            for mention in mentions { #expect(text.contains(mention)) }
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 })
        }
    }
}
