import Foundation
import Testing

extension EndToEnd {
    /// `crossserver connect` in a pipe and on a terminal.
    @Suite struct ConnectCommandTests {
        private struct Output: Equatable {
            var status: Int32
            var standardOutput: String
            var standardError: String
        }

        /// Runs the command with the text as its input, through the shell, which makes the pipe.
        private func connect(
            _ arguments: [String],
            input: String,
            environment: [String: String] = [:]
        ) async throws -> Output {
            let program = try ExternalProgram(
                Tools.program("sh"),
                [
                    "-c", #"input=$1; shift; printf '%s' "$input" | "$@""#, "sh", input, Tools.crossserver.path,
                    "connect",
                ]
                    + arguments,
                environment: environment
            )
            let status = try await program.exitStatus(within: .seconds(60))
            return Output(status: status, standardOutput: program.standardOutput, standardError: program.standardError)
        }

        @Test(.timeLimit(.minutes(2)))
        func printsOneReplyPerLine() async throws {
            try await withServe { server in
                let output = try await self.connect(
                    [server.url, "--id", "7"],
                    input: "echo {\"a\": 1}\n\necho\n  echo \"é日\"\r\nsay {\"msg\":\"hi\"}\n"
                        + "echo \"\u{202E}\u{9B}\"\necho 5"
                )
                let expected =
                    "{\"a\": 1}\nnull\n\"é日\"\n{\"msg\":\"serverA heard you\"}\n\"\\u202e\\u009b\"\n5\n"
                #expect(output == Output(status: 0, standardOutput: expected, standardError: ""))
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func takesTheURLAndOptionsFromTheEnvironment() async throws {
            try await withServe { server in
                let output = try await self.connect(
                    ["--raw"],
                    input: "echo 1\n",
                    environment: ["CROSSSERVER_URL": server.url, "CROSSSERVER_ID": "7"]
                )
                #expect(output.status == 0)
                #expect(output.standardOutput.wholeMatch(of: /\{"payload":1,"callbackId":"~?[0-9a-z-]+"\}\n/) != nil)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func goesOnAfterALineThatFailed() async throws {
            try await withServe { server in
                let output = try await self.connect([server.url, "--id", "7"], input: "echo {a}\nunknown 1\necho 2\n")
                #expect(output.status == 3)
                #expect(output.standardOutput == "2\n")
                let errors = """
                    Error: line 1: not JSON: this cannot stand here (character 7)
                      echo {a}
                            ^
                    Error: line 2: UNKNOWN_EVENT: no handler for this event

                    """
                #expect(output.standardError == errors)
            }
        }

        /// On a pseudo terminal; see Tests/Clients/terminal.py.
        @Test(.timeLimit(.minutes(2)))
        func givesTheTerminalBackAsItWas() async throws {
            let script = [try Tools.script("terminal.py"), try Tools.crossserver.path]
            let said = try await ExternalProgram.run(Tools.python, script)
            #expect(said.split(separator: "\n") == ["ok keys", "ok interrupt", "ok end_signal", "ok harm"])
        }

        @Test(.timeLimit(.minutes(2)))
        func failsWithoutAConnection() async throws {
            let output = try await self.connect(["ws://127.0.0.1:1"], input: "echo 1\n")
            let message = "Error: no connection: 127.0.0.1:1: Connection refused\n"
            #expect(output == Output(status: 1, standardOutput: "", standardError: message))
        }

        @Test(.timeLimit(.minutes(2)))
        func failsWhenTheServerClosesTheConnection() async throws {
            try await withServe { server in
                let output = try await self.connect([server.url], input: "")
                // Without an id the server closes; the end of the input may come first.
                #expect([0, 1].contains(output.status))
                let program = try ExternalProgram(
                    Tools.program("sh"),
                    ["-c", #"sleep 5 | "$@""#, "sh", Tools.crossserver.path, "connect", server.url]
                )
                try await program.wait(.seconds(20), for: "the error") { !program.standardError.isEmpty }
                #expect(program.standardError == "Error: the server closed the connection: 4011 Auth failure\n")
            }
        }

        @Test(
            .timeLimit(.minutes(2)),
            arguments: [
                ["http://127.0.0.1:1"], ["ws://127.0.0.1:1", "--param", "x"], ["ws://127.0.0.1:1", "--header", "x"],
                ["ws://127.0.0.1:1", "--timeout", "0"], ["ws://127.0.0.1:1", "--ca", "/nonexistent"],
                ["ws://127.0.0.1:1", "--ca", "/nonexistent", "--insecure"],
                ["ws://127.0.0.1:1", "--header", "a: b\nc: d"],
            ]
        )
        func refusesWrongOptions(arguments: [String]) async throws {
            let output = try await self.connect(arguments, input: "echo 1\n")
            #expect(output.status == 64)
            #expect(output.standardOutput == "")
            #expect(output.standardError.hasPrefix("Error: "))
        }
    }
}
