import CrossServerRESP
import DequeModule
import NIOCore

/// What waits to be written to a client. Small pieces are gathered into one buffer; large ones are shared between all
/// clients that get them.
struct OutputQueue {
    /// Smaller messages are copied: one long write costs less than many short ones.
    static let smallestShared = 4_096
    private static let largestGathered = 65_536
    /// What is given to the channel at once, where it is counted no more.
    private static let largestPiece = 131_072
    /// What an idle client keeps.
    private static let largestKept = 16_384

    private struct Chunk {
        var bytes: ByteBuffer
        /// Nil: nobody else has it.
        var shared: SharedBrokerMessage?
    }

    private let memory: BrokerMemory
    private var chunks: Deque<Chunk> = []
    private var tail = ByteBuffer()
    private(set) var byteCount = 0

    init(_ memory: BrokerMemory) {
        self.memory = memory
    }

    var isEmpty: Bool { self.byteCount == 0 }

    /// A copy is kept.
    mutating func append(copying message: ByteBuffer) {
        self.tail.writeImmutableBuffer(message)
        self.grow(by: message.readableBytes)
    }

    mutating func append(_ message: SharedBrokerMessage) {
        self.endTail()
        self.chunks.append(Chunk(bytes: message.bytes, shared: message))
        self.byteCount += message.bytes.readableBytes
    }

    mutating func append(_ value: RESPValue, version: RESPVersion) {
        let before = self.tail.readableBytes
        self.tail.writeRESP(value, version: version)
        self.grow(by: self.tail.readableBytes - before)
    }

    private mutating func grow(by bytes: Int) {
        self.byteCount += bytes
        self.memory.add(bytes)
        if self.tail.readableBytes >= Self.largestGathered { self.endTail() }
    }

    private mutating func endTail() {
        guard self.tail.readableBytes > 0 else { return }
        self.chunks.append(Chunk(bytes: self.tail, shared: nil))
        self.tail = ByteBuffer()
    }

    mutating func popFirst() -> ByteBuffer? {
        if var chunk = self.chunks.popFirst() {
            var piece = chunk.bytes
            if chunk.bytes.readableBytes > Self.largestPiece,
                let first = chunk.bytes.readSlice(length: Self.largestPiece)
            {
                self.chunks.prepend(chunk)
                piece = first
            }
            self.byteCount -= piece.readableBytes
            if chunk.shared == nil { self.memory.remove(piece.readableBytes) }
            return piece
        }
        guard self.tail.readableBytes > 0 else { return nil }
        let last = self.tail
        self.byteCount = 0
        self.memory.remove(last.readableBytes)
        self.tail.moveReaderIndex(to: self.tail.writerIndex)
        return last
    }

    /// Lets the memory of what was written be used again. Call it when the channel had its chance to write.
    mutating func reclaim() {
        guard self.isEmpty else { return }
        if self.tail.capacity > Self.largestKept { self.tail = ByteBuffer() } else { self.tail.clear() }
    }

    mutating func removeAll() {
        while let chunk = self.chunks.popFirst() {
            if chunk.shared == nil { self.memory.remove(chunk.bytes.readableBytes) }
        }
        self.memory.remove(self.tail.readableBytes)
        self.tail = ByteBuffer()
        self.byteCount = 0
    }
}
