import Foundation
import Testing

/// A `redis-server` of its own on a free port of the loopback address. Ends with this object.
final class RedisServerProcess {
    let port: Int
    /// Its files; removed with this object.
    let directory: URL
    private let arguments: [String]
    /// For `redis-cli`.
    private let cliArguments: [String]
    private let isReady: (String) -> Bool
    private var process = Process()

    /// - Parameters:
    ///   - arguments: besides the port: `["--requirepass", "secret"]`.
    ///   - cliArguments: what `redis-cli` needs to get in.
    ///   - isPlain: whether it listens on the port without TLS.
    ///   - isReady: whether it can be used, by what it says to PING.
    init(
        _ arguments: [String] = [],
        cli cliArguments: [String] = [],
        port: Int? = nil,
        isPlain: Bool = true,
        isReady: @escaping (String) -> Bool = { $0.contains("PONG") }
    ) throws {
        self.isReady = isReady
        self.port = try port ?? FreePort.next()
        self.directory = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        self.arguments =
            (isPlain ? ["--port", "\(self.port)"] : ["--port", "0", "--tls-port", "\(self.port)"])
            + ["--bind", "127.0.0.1", "--dir", self.directory.path, "--save", "", "--loglevel", "notice"]
            + arguments
        self.cliArguments = cliArguments
    }

    /// Starts a server and waits until it answers.
    static func start(_ arguments: [String] = [], cli: [String] = []) async throws -> RedisServerProcess {
        let server = try RedisServerProcess(arguments, cli: cli)
        try await server.start()
        return server
    }

    /// A Sentinel. Its configuration has to be a file, since it writes there what it learns.
    init(sentinelConfiguration: String, cli cliArguments: [String] = [], isPlain: Bool = true) throws {
        self.port = try FreePort.next()
        self.directory = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        let file = self.directory.appending(path: "sentinel.conf")
        let port = isPlain ? "port \(self.port)" : "port 0\ntls-port \(self.port)"
        try "\(port)\nbind 127.0.0.1\ndir \(self.directory.path)\n\(sentinelConfiguration)\n"
            .write(to: file, atomically: false, encoding: .utf8)
        self.isReady = { $0.contains("PONG") }
        self.arguments = [file.path, "--sentinel"]
        self.cliArguments = cliArguments
    }

    deinit {
        self.kill()
        // What cannot be removed is left to the system, which clears its temporary directory.
        try? FileManager.default.removeItem(at: self.directory)
    }

    var url: String { "redis://127.0.0.1:\(self.port)" }
    var unixSocket: String { self.directory.appending(path: "redis.sock").path }

    func launch() throws {
        self.process = Process()
        self.process.executableURL = try Programs.find("redis-server")
        self.process.arguments = self.arguments
        let log = self.directory.appending(path: "log")
        if !FileManager.default.fileExists(atPath: log.path) { try Data().write(to: log) }
        let output = try FileHandle(forWritingTo: log)
        try output.seekToEnd()
        self.process.standardInput = FileHandle.nullDevice
        self.process.standardOutput = output
        self.process.standardError = output
        try self.process.run()
    }

    func start() async throws {
        try self.launch()
        try await eventually("the start of redis-server: \(self.log)") {
            guard self.process.isRunning else { throw Failure(description: "redis-server ended: \(self.log)") }
            return self.isReady(try self.cli("PING"))
        }
    }

    /// kill -9
    func kill() {
        guard self.process.isRunning else { return }
        Foundation.kill(self.process.processIdentifier, SIGKILL)
        self.process.waitUntilExit()
    }

    /// It accepts connections from now on, and says nothing.
    func freeze() {
        Foundation.kill(self.process.processIdentifier, SIGSTOP)
    }

    func thaw() {
        Foundation.kill(self.process.processIdentifier, SIGCONT)
    }

    var log: String {
        (try? String(contentsOf: self.directory.appending(path: "log"), encoding: .utf8)) ?? "no log"
    }

    /// What `redis-cli` prints.
    @discardableResult
    func cli(_ arguments: String..., input: Data? = nil) throws -> String {
        try Programs.run("redis-cli", ["-p", "\(self.port)"] + self.cliArguments + arguments, input: input)
    }

    /// The connections that others have to it, without that of `redis-cli` and those of replicas and Sentinels.
    func clients() throws -> [String] {
        try self.cli("CLIENT", "LIST").split(separator: "\n").map(String.init).filter {
            !$0.contains("cmd=client|list") && !$0.isEmpty
        }
    }

    /// Since it was started, that of this question included.
    func connectionsReceived() throws -> Int {
        let line = try self.cli("INFO", "stats").split(whereSeparator: \.isNewline).first {
            $0.hasPrefix("total_connections_received:")
        }
        return line.flatMap { Int($0.drop { $0 != ":" }.dropFirst()) } ?? -1
    }

    func subscribers(of channel: String) throws -> Int {
        let lines = try self.cli("PUBSUB", "NUMSUB", channel).split(separator: "\n")
        return lines.count == 2 ? Int(lines[1]) ?? -1 : -1
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }
}

enum Programs {
    static func find(_ name: String) throws -> URL {
        for directory in ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"] {
            let file = URL(filePath: directory).appending(path: name)
            if FileManager.default.isExecutableFile(atPath: file.path) { return file }
        }
        throw RedisServerProcess.Failure(description: "\(name) is missing: run Scripts/test, which installs it")
    }

    /// - Returns: what the program prints on both of its outputs, whatever its exit status.
    @discardableResult
    static func run(
        _ name: String,
        _ arguments: [String],
        in directory: URL? = nil,
        input: Data? = nil
    ) throws -> String {
        let process = Process()
        process.executableURL = try Self.find(name)
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let output = Pipe()
        let standardInput = Pipe()
        process.standardInput = standardInput
        process.standardOutput = output
        process.standardError = output
        try process.run()
        if let input { try standardInput.fileHandleForWriting.write(contentsOf: input) }
        try standardInput.fileHandleForWriting.close()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self)
    }
}

/// Ports below those that the system gives to outgoing connections, so that a server can be started again on its own.
enum FreePort {
    static func next() throws -> Int {
        for _ in 0..<1_000 {
            let port = Int.random(in: 20_000..<32_000)
            if Self.isFree(port) { return port }
        }
        throw RedisServerProcess.Failure(description: "no free port was found")
    }

    private static func isFree(_ port: Int) -> Bool {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

/// Waits until the condition holds, for a minute at most.
func eventually(
    _ what: @autoclosure () -> String,
    within limit: Duration = .seconds(60),
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while try await !condition() {
        guard clock.now < end else { throw RedisServerProcess.Failure(description: "did not happen: \(what())") }
        try await Task.sleep(for: .milliseconds(5))
    }
}
