import CrossServerRESP
import NIOCore

/// A message for subscribers, encoded once for each version of the protocol that one of them speaks.
struct BrokerMessage {
    /// Larger ones are not kept for the next message.
    private static let largestKept = 65_536

    private var buffers = (resp2: ByteBuffer(), resp3: ByteBuffer())

    /// Begins the next message.
    mutating func clear() {
        Self.clear(&self.buffers.resp2)
        Self.clear(&self.buffers.resp3)
    }

    private static func clear(_ buffer: inout ByteBuffer) {
        if buffer.capacity > self.largestKept { buffer = ByteBuffer() } else { buffer.clear() }
    }

    /// - Parameter pattern: the one that the subscribers gave; nil for those of the channel.
    mutating func encoded(
        _ version: RESPVersion,
        pattern: ByteBuffer?,
        channel: ByteBuffer,
        message: ByteBuffer
    ) -> ByteBuffer {
        switch version {
        case .resp2: Self.encode(into: &self.buffers.resp2, version, pattern, channel, message)
        case .resp3: Self.encode(into: &self.buffers.resp3, version, pattern, channel, message)
        }
    }

    private static func encode(
        into buffer: inout ByteBuffer,
        _ version: RESPVersion,
        _ pattern: ByteBuffer?,
        _ channel: ByteBuffer,
        _ message: ByteBuffer
    ) -> ByteBuffer {
        guard buffer.readableBytes == 0 else { return buffer }
        let overhead = 96
        let size = overhead + (pattern?.readableBytes ?? 0) + channel.readableBytes + message.readableBytes
        buffer.reserveCapacity(minimumWritableBytes: size)
        buffer.writeRESPPushHeader(count: pattern == nil ? 3 : 4, version: version)
        if let pattern {
            buffer.writeRESPBulkString("pmessage")
            buffer.writeRESPBulkString(pattern)
        } else {
            buffer.writeRESPBulkString("message")
        }
        buffer.writeRESPBulkString(channel)
        buffer.writeRESPBulkString(message)
        return buffer
    }
}
