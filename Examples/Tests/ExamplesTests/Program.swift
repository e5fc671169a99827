import CrossServerTesting
import Foundation

/// A program of this package, which was built beside the tests.
final class Program {
    private let process = Process()
    private let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).txt")
    private let ended = AsyncStream<Void>.makeStream()

    init(_ name: String, _ arguments: [String]) throws {
        try Data().write(to: self.file)
        self.process.executableURL = Bundle.main.bundleURL.appending(path: name)
        self.process.arguments = arguments
        self.process.standardOutput = try FileHandle(forWritingTo: self.file)
        let continuation = self.ended.continuation
        self.process.terminationHandler = { _ in continuation.finish() }
        try self.process.run()
    }

    /// What it has printed until now.
    var said: String {
        get throws { String(decoding: try Data(contentsOf: self.file), as: UTF8.self) }
    }

    /// Waits for a line that begins so.
    ///
    /// - Returns: the rest of it.
    func line(_ start: String) async throws -> String {
        try await eventually { try self.lines(start).isEmpty == false }
        return try self.lines(start)[0]
    }

    /// The rests of the whole lines that begin so.
    func lines(_ start: String) throws -> [String] {
        try self.said.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .filter { $0.hasPrefix(start) }
            .map { String($0.dropFirst(start.count)) }
    }

    func terminate() {
        if self.process.isRunning { self.process.terminate() }
    }

    /// What it has printed until its end.
    func output() async throws -> String {
        for await _ in self.ended.stream {}
        defer { try? FileManager.default.removeItem(at: self.file) }  // The system does it too, later.
        return try self.said
    }
}
