import CrossServerRESP
import DequeModule
import NIOCore

/// What waits to be written to a client. Small pieces are gathered into one buffer; large ones are shared between all
/// clients that get them.
struct OutputQueue {
    /// Smaller ones are copied: one long write costs less than many short ones.
    private static let smallestShared = 4_096
    private static let largestGathered = 65_536
    /// What an idle client keeps.
    private static let largestKept = 16_384

    private var chunks: Deque<ByteBuffer> = []
    private var tail = ByteBuffer()
    private(set) var byteCount = 0

    var isEmpty: Bool { self.byteCount == 0 }

    mutating func append(_ message: ByteBuffer) {
        if message.readableBytes < Self.smallestShared {
            self.tail.writeImmutableBuffer(message)
        } else {
            self.endTail()
            self.chunks.append(message)
        }
        self.byteCount += message.readableBytes
        if self.tail.readableBytes >= Self.largestGathered { self.endTail() }
    }

    mutating func append(_ value: RESPValue, version: RESPVersion) {
        let before = self.tail.readableBytes
        self.tail.writeRESP(value, version: version)
        self.byteCount += self.tail.readableBytes - before
        if self.tail.readableBytes >= Self.largestGathered { self.endTail() }
    }

    private mutating func endTail() {
        guard self.tail.readableBytes > 0 else { return }
        self.chunks.append(self.tail)
        self.tail = ByteBuffer()
    }

    mutating func popFirst() -> ByteBuffer? {
        if let chunk = self.chunks.popFirst() {
            self.byteCount -= chunk.readableBytes
            return chunk
        }
        guard self.tail.readableBytes > 0 else { return nil }
        let last = self.tail
        self.byteCount = 0
        self.tail.moveReaderIndex(to: self.tail.writerIndex)
        return last
    }

    /// Lets the memory of what was written be used again. Call it when the channel had its chance to write.
    mutating func reclaim() {
        guard self.isEmpty else { return }
        if self.tail.capacity > Self.largestKept { self.tail = ByteBuffer() } else { self.tail.clear() }
    }

    mutating func removeAll() {
        self = OutputQueue()
    }
}
