import Foundation
import NIOPosix

/// Reads standard input without blocking a thread of Swift's pool. Only one caller at a time.
///
/// The descriptor stays blocking: a terminal shares its mode with the shell that started us.
final class StandardInput: Sendable {
    private let wakeRead: Int32
    private let wakeWrite: Int32

    private static let chunkSize = 65_536

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        self.wakeRead = ends[0]
        self.wakeWrite = ends[1]
    }

    deinit {
        close(self.wakeRead)
        close(self.wakeWrite)
    }

    /// - Returns: the bytes that are there, as soon as there are any; nil at the end of input and after ``stop()``.
    func read() async -> [UInt8]? {
        do {
            return try await NIOThreadPool.singleton.runIfActive { self.readBlocking() }
        } catch {
            // The pool of the process never stops; a cancelled task reads no more.
            return nil
        }
    }

    /// Ends the reading, now and for ever. From any thread.
    func stop() {
        var byte: UInt8 = 0
        // Nothing reads from the pipe: one byte is enough, and a full pipe does as well.
        _ = Foundation.write(self.wakeWrite, &byte, 1)
    }

    private func readBlocking() -> [UInt8]? {
        while true {
            var descriptors = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: self.wakeRead, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&descriptors, 2, -1) >= 0 else {
                if errno == EINTR { continue }
                return nil
            }
            if descriptors[1].revents != 0 { return nil }
            var bytes = [UInt8](repeating: 0, count: Self.chunkSize)
            let count = Foundation.read(STDIN_FILENO, &bytes, bytes.count)
            if count > 0 { return Array(bytes[..<count]) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            return nil
        }
    }
}

/// Cuts what is read into lines.
struct LineSplitter {
    enum Line: Equatable {
        case text(String)
        /// More than ``maximumLength`` bytes; the rest of it is skipped.
        case tooLong
        case notUTF8
    }

    /// In bytes.
    static let maximumLength = 16 << 20

    private var bytes: [UInt8] = []
    private var isSkipping = false

    mutating func append(_ chunk: [UInt8]) -> [Line] {
        var lines: [Line] = []
        for part in chunk.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if part.offset > 0, let line = self.finish() { lines.append(line) }
            if self.isSkipping { continue }
            self.bytes.append(contentsOf: part.element)
            if self.bytes.count > Self.maximumLength {
                self.bytes = []
                self.isSkipping = true
            }
        }
        return lines
    }

    /// The end of a line, or of the input.
    mutating func finish() -> Line? {
        defer {
            self.bytes = []
            self.isSkipping = false
        }
        if self.isSkipping { return .tooLong }
        if self.bytes.last == UInt8(ascii: "\r") { self.bytes.removeLast() }
        return String(validating: self.bytes, as: UTF8.self).map { .text($0) } ?? .notUTF8
    }
}
