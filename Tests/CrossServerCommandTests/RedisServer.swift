import Foundation

/// A `redis-server` of its own on a port of the loopback address.
final class RedisServer {
    let port: Int
    private let arguments: [String]
    private var program: ExternalProgram

    var url: String { "redis://127.0.0.1:\(self.port)" }

    private init(port: Int, arguments: [String], program: ExternalProgram) {
        self.port = port
        self.arguments = arguments
        self.program = program
    }

    /// Starts a server and waits until it can be used.
    static func start(_ arguments: [String] = []) async throws -> RedisServer {
        // Below the ports of outgoing connections, so that it can be started again on its own.
        for _ in 0..<100 {
            let port = Int.random(in: 20_000..<32_000)
            let program = try Self.launch(port, arguments)
            if try await Self.isReady(program) {
                return RedisServer(port: port, arguments: arguments, program: program)
            }
        }
        throw ProgramFailure(description: "redis-server does not start on any of 100 ports")
    }

    /// kill -9
    func kill() async throws {
        self.program.send(signal: SIGKILL)
        _ = try await self.program.exitStatus(within: .seconds(30))
    }

    /// Starts it again where it was, empty.
    func restart() async throws {
        self.program = try Self.launch(self.port, self.arguments)
        guard try await Self.isReady(self.program) else { throw self.program.failure("does not start again") }
    }

    /// It accepts connections from now on, and says nothing.
    func freeze() { self.program.send(signal: SIGSTOP) }

    func thaw() { self.program.send(signal: SIGCONT) }

    /// What `redis-cli` prints.
    func cli(_ arguments: String...) async throws -> String {
        try await ExternalProgram.run(Tools.program("redis-cli"), ["-p", "\(self.port)"] + arguments)
    }

    private static func launch(_ port: Int, _ arguments: [String]) throws -> ExternalProgram {
        let fixed = ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
        return try ExternalProgram(Tools.program("redis-server"), fixed + arguments)
    }

    private static func isReady(_ program: ExternalProgram) async throws -> Bool {
        let line = "Ready to accept connections"
        try await program.wait(.seconds(60), for: line) { program.standardOutput.contains(line) }
        return program.standardOutput.contains(line)
    }
}
