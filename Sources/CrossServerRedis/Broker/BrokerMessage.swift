import CrossServerRESP
import NIOCore

/// A message for subscribers, encoded once for each version of the protocol that one of them speaks.
struct BrokerMessage {
    /// Larger ones are not kept for the next message.
    private static let largestKept = 65_536

    private struct Encoded {
        private var bytes = ByteBuffer()
        /// Nil when it is short.
        private var shared: SharedBrokerMessage?

        mutating func clear() {
            self.shared = nil
            if self.bytes.capacity > BrokerMessage.largestKept { self.bytes = ByteBuffer() } else { self.bytes.clear() }
        }

        func append(to output: inout OutputQueue) {
            if let shared = self.shared { output.append(shared) } else { output.append(copying: self.bytes) }
        }

        mutating func encode(
            _ version: RESPVersion,
            _ pattern: ByteBuffer?,
            _ channel: ByteBuffer,
            _ message: ByteBuffer,
            _ memory: BrokerMemory
        ) {
            guard self.bytes.readableBytes == 0 else { return }
            let overhead = 96
            let size = overhead + (pattern?.readableBytes ?? 0) + channel.readableBytes + message.readableBytes
            self.bytes.reserveCapacity(minimumWritableBytes: size)
            self.bytes.writeRESPPushHeader(count: pattern == nil ? 3 : 4, version: version)
            if let pattern {
                self.bytes.writeRESPBulkString("pmessage")
                self.bytes.writeRESPBulkString(pattern)
            } else {
                self.bytes.writeRESPBulkString("message")
            }
            self.bytes.writeRESPBulkString(channel)
            self.bytes.writeRESPBulkString(message)
            guard self.bytes.readableBytes >= OutputQueue.smallestShared else { return }
            self.shared = SharedBrokerMessage(self.bytes, memory)
        }
    }

    private let memory: BrokerMemory
    private var encoded = (resp2: Encoded(), resp3: Encoded())

    init(_ memory: BrokerMemory) {
        self.memory = memory
    }

    /// Ends a message.
    mutating func clear() {
        self.encoded.resp2.clear()
        self.encoded.resp3.clear()
    }

    /// - Parameter pattern: the one that the subscribers gave; nil for those of the channel.
    mutating func append(
        to output: inout OutputQueue,
        _ version: RESPVersion,
        pattern: ByteBuffer?,
        channel: ByteBuffer,
        message: ByteBuffer
    ) {
        switch version {
        case .resp2:
            self.encoded.resp2.encode(version, pattern, channel, message, self.memory)
            self.encoded.resp2.append(to: &output)
        case .resp3:
            self.encoded.resp3.encode(version, pattern, channel, message, self.memory)
            self.encoded.resp3.append(to: &output)
        }
    }
}
