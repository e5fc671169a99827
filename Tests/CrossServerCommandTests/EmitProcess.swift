import Foundation
import Testing

/// What a `crossserver emit` has printed and how it ended.
struct EmitResult {
    var status: Int32
    var replies: [String]
    var errors: String

    /// Runs the command to its end.
    static func of(_ arguments: [String], environment: [String: String] = [:]) async throws -> EmitResult {
        let program = try ExternalProgram(Tools.crossserver, ["emit"] + arguments, environment: environment)
        let status = try await program.exitStatus(within: .seconds(100))
        let replies = program.standardOutput.split(separator: "\n").map(String.init)
        return EmitResult(status: status, replies: replies, errors: program.standardError)
    }
}

/// Servers with different names that use the same Redis servers, and what they are asked.
struct ServeCluster {
    var redis: [RedisServer]
    var servers: [String: ServeProcess] = [:]

    var options: [String] { self.redis.flatMap { ["--redis", $0.url] } }

    /// The line that `emit echo` prints for one server.
    static func echo(_ server: String, _ payload: String) -> String {
        #"{"server":"\#(server)","reply":{"echo":\#(payload),"server":"\#(server)"}}"#
    }

    mutating func start(_ name: String, _ options: [String] = []) async throws {
        self.servers[name] = try await ServeProcess.start(["--name", name] + self.options + options)
    }

    /// Asks every server by its name.
    ///
    /// - Parameter redis: what the command uses, all of them by default.
    func emit(_ payload: String, over redis: RedisServer? = nil, timeout: Int = 10_000) async throws -> EmitResult {
        let targets = self.servers.keys.flatMap { ["--to", $0] }
        let options = redis.map { ["--redis", $0.url] } ?? self.options
        return try await EmitResult.of(["echo", payload, "--timeout", "\(timeout)"] + targets + options)
    }

    func allAnswer(_ payload: String = "1") async throws -> Bool {
        let result = try await self.emit(payload)
        return result.status == 0 && Set(result.replies) == Set(self.servers.keys.map { Self.echo($0, payload) })
    }

    /// Asks until all answer: what was away comes back by itself.
    ///
    /// - Parameter redis: over which all must hear and answer.
    func allComeBack(over redis: RedisServer? = nil) async throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(60)
        var last = try await self.emit("1", over: redis, timeout: 1_000)
        while last.status != 0 {
            guard clock.now < end else { throw ProgramFailure(description: "not all answer again: \(last)") }
            last = try await self.emit("1", over: redis, timeout: 1_000)
        }
    }

    /// Stops the servers, which must all have lived to the end.
    func stop() async throws {
        for server in self.servers.values { try await server.stop() }
    }
}

/// Runs `body` with servers, which must live to the end and stop gracefully.
func withServeCluster(
    redis count: Int,
    _ names: [String: [String]],
    _ body: (inout ServeCluster) async throws -> Void
) async throws {
    var cluster = ServeCluster(redis: [])
    for _ in 0..<count { cluster.redis.append(try await RedisServer.start()) }
    for (name, options) in names { try await cluster.start(name, options) }
    do {
        try await body(&cluster)
    } catch {
        let logs = cluster.servers.map { "--- \($0)\n\($1.program.standardError.suffix(4_000))" }
        throw ProgramFailure(description: "\(error)\n\(logs.joined(separator: "\n"))")
    }
    try await cluster.stop()
}
