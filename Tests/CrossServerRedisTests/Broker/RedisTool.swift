import Foundation

/// A program that a test has started. Its output goes to a file, so that no pipe can fill up.
final class RedisTool {
    static let packageRoot = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Python with the packages that the clients need: Scripts/test makes it.
    static let python = RedisTool.packageRoot.appending(path: ".build/venv/bin/python")

    private let process = Process()
    private let file: URL

    /// - Parameter program: a path, or a name of the search path.
    init(_ program: String, _ arguments: [String]) throws {
        self.file = FileManager.default.temporaryDirectory.appending(path: "redis-tool-\(UUID().uuidString)")
        try Data().write(to: self.file)
        let handle = try FileHandle(forWritingTo: self.file)
        self.process.executableURL = URL(filePath: "/usr/bin/env")
        self.process.arguments = [program] + arguments
        self.process.standardInput = FileHandle.nullDevice
        self.process.standardOutput = handle
        self.process.standardError = handle
        try self.process.run()
    }

    deinit {
        self.stop()
        // What cannot be removed is left to the system, which clears its temporary directory.
        try? FileManager.default.removeItem(at: self.file)
    }

    /// What came on standard output and standard error.
    var output: String {
        // A program that has not written text has written nothing that a test could use.
        (try? String(contentsOf: self.file, encoding: .utf8)) ?? ""
    }

    func stop() {
        if self.process.isRunning { kill(self.process.processIdentifier, SIGKILL) }
    }

    /// Waits until the condition holds.
    func wait(_ condition: (RedisTool) -> Bool) async throws {
        _ = try await eventually {
            if condition(self) { return true }
            return self.process.isRunning ? nil : false
        }
        guard condition(self) else { throw Failure(description: "ended early: \(self.output)") }
    }

    func waitForSuccess() async throws {
        _ = try await eventually { self.process.isRunning ? nil : true }
        guard self.process.terminationStatus == 0 else {
            throw Failure(description: "ended with \(self.process.terminationStatus): \(self.output)")
        }
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Runs a program to its end.
    ///
    /// - Returns: its output.
    static func run(_ program: String, _ arguments: [String]) async throws -> String {
        let tool = try RedisTool(program, arguments)
        try await tool.waitForSuccess()
        return tool.output
    }
}
