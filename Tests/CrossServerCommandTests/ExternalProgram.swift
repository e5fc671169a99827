import Foundation

/// A program that a test has started. Its output goes to files, so that no pipe can fill up.
final class ExternalProgram {
    /// Where the program and those that it starts may leave files; removed with this object.
    let directory: URL
    private let process = Process()
    private let name: String

    init(_ executable: URL, _ arguments: [String], environment: [String: String] = [:]) throws {
        self.name = ([executable.lastPathComponent] + arguments).joined(separator: " ")
        self.directory = FileManager.default.temporaryDirectory.appending(path: "crossserver-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        self.process.executableURL = executable
        self.process.arguments = arguments
        self.process.environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("CROSSSERVER_") }
            .merging(environment) { $1 }
        self.process.standardInput = FileHandle.nullDevice
        self.process.standardOutput = try Self.newFile(self.standardOutputFile)
        self.process.standardError = try Self.newFile(self.standardErrorFile)
        try self.process.run()
    }

    deinit {
        if self.process.isRunning { kill(self.process.processIdentifier, SIGKILL) }
        // What cannot be removed is left to the system, which clears its temporary directory.
        try? FileManager.default.removeItem(at: self.directory)
    }

    var processIdentifier: Int32 { self.process.processIdentifier }
    var standardOutputFile: URL { self.directory.appending(path: "stdout") }
    var standardErrorFile: URL { self.directory.appending(path: "stderr") }
    var standardOutput: String { Self.contents(self.standardOutputFile) }
    var standardError: String { Self.contents(self.standardErrorFile) }

    func send(signal: Int32) {
        kill(self.process.processIdentifier, signal)
    }

    /// Waits until the condition holds or the program has ended.
    ///
    /// - Throws: ``ProgramFailure`` when it does not within the time; the program is killed then.
    func wait(_ limit: Duration, for what: String, until condition: () throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now + limit
        while try !condition(), self.process.isRunning {
            guard clock.now < end else {
                self.send(signal: SIGKILL)
                throw self.failure("\(what) did not come within \(limit)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Waits for the end of the program.
    ///
    /// - Returns: its exit status, or the negative number of the signal that ended it.
    func exitStatus(within limit: Duration) async throws -> Int32 {
        try await self.wait(limit, for: "the end") { false }
        self.process.waitUntilExit()
        let status = self.process.terminationStatus
        return self.process.terminationReason == .exit ? status : -status
    }

    func failure(_ message: String) -> ProgramFailure {
        ProgramFailure(
            description: """
                \(self.name): \(message)
                --- standard output
                \(self.standardOutput.suffix(4_000))
                --- standard error
                \(self.standardError.suffix(4_000))
                """
        )
    }

    /// Runs a program to its end.
    ///
    /// - Returns: its standard output.
    /// - Throws: ``ProgramFailure`` with all that it said when it takes too long or does not exit with 0.
    @discardableResult
    static func run(
        _ executable: URL,
        _ arguments: [String],
        environment: [String: String] = [:],
        within limit: Duration = .seconds(100)
    ) async throws -> String {
        let program = try ExternalProgram(executable, arguments, environment: environment)
        let status = try await program.exitStatus(within: limit)
        guard status == 0 else { throw program.failure("ended with status \(status)") }
        return program.standardOutput
    }

    private static func newFile(_ file: URL) throws -> FileHandle {
        try Data().write(to: file)
        return try FileHandle(forWritingTo: file)
    }

    private static func contents(_ file: URL) -> String {
        // A program that has not written yet, or not text, has written nothing that a test could use.
        (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    }
}

struct ProgramFailure: Error, CustomStringConvertible {
    var description: String
}
