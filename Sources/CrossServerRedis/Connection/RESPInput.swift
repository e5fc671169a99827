import CrossServerRESP
import NIOCore

/// The bytes that a connection has received and the parser not taken.
struct RESPInput {
    private var bytes = ByteBuffer()
    private var parser: RESPParser

    init(limits: RESPLimits) {
        self.parser = RESPParser(limits: limits)
    }

    /// How many strings were too long and passed over: nulls are in their place.
    var skippedStrings: Int { self.parser.skippedStrings }

    var isEmpty: Bool { self.bytes.readableBytes == 0 }

    mutating func append(_ bytes: ByteBuffer) {
        guard self.bytes.readableBytes > 0 else {
            self.bytes = bytes
            return
        }
        var bytes = bytes
        // What was taken is let go, so that a value in many pieces does not keep what came before it.
        self.bytes.discardReadBytes()
        self.bytes.writeBuffer(&bytes)
    }

    /// - Returns: nil when something else comes next, or nothing.
    mutating func nextMessage() -> (channel: ByteBuffer, payload: ByteBuffer)? {
        self.parser.nextMessage(from: &self.bytes)
    }

    /// - Returns: nil when more bytes are needed.
    mutating func next() throws(RedisFailure) -> RESPValue? {
        guard self.bytes.readableBytes > 0 else {
            self.bytes = ByteBuffer()
            return nil
        }
        do {
            return try self.parser.next(from: &self.bytes)
        } catch {
            throw RedisFailure(.protocolViolation, "the server's bytes cannot be read: \(error)")
        }
    }
}
