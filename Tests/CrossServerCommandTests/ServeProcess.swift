import Foundation
import Testing

/// A running `crossserver serve`.
struct ServeProcess {
    let program: ExternalProgram
    let port: Int

    var url: String { "ws://127.0.0.1:\(self.port)" }

    /// Starts a server on a free port and waits until it listens.
    static func start(_ arguments: [String] = [], environment: [String: String] = [:]) async throws -> ServeProcess {
        let program = try ExternalProgram(
            Tools.crossserver,
            ["serve", "--host", "127.0.0.1", "--port", "0"] + arguments,
            environment: environment
        )
        try await program.wait(.seconds(60), for: "the line 'listening on …'") {
            program.standardOutput.hasSuffix("\n")
        }
        guard
            let port = try Regex(#"listening on 127\.0\.0\.1:([0-9]+)\n"#, as: (Substring, Substring).self)
                .wholeMatch(in: program.standardOutput).flatMap({ Int($0.1) })
        else { throw program.failure("does not say where it listens") }
        return ServeProcess(program: program, port: port)
    }

    /// Stops the server, which must go well.
    func stop(signal: Int32 = SIGTERM) async throws {
        self.program.send(signal: signal)
        try await self.stopped()
    }

    /// Waits for the graceful end that something else has asked for.
    func stopped() async throws {
        let status = try await self.program.exitStatus(within: .seconds(60))
        guard status == 0 else { throw self.program.failure("ended with status \(status)") }
        #expect(self.program.standardOutput == "listening on 127.0.0.1:\(self.port)\n", "more than one line of output")
    }
}

/// Runs `body` with a server of its own, which must live to the end and stop gracefully.
func withServe(_ arguments: [String] = [], _ body: (ServeProcess) async throws -> Void) async throws {
    let server = try await ServeProcess.start(arguments)
    do {
        try await body(server)
    } catch {
        throw server.program.failure("served while this failed: \(error)")
    }
    try await server.stop()
}
