import DequeModule
import NIOCore

/// The bytes of messages, from the newest to the oldest one that is kept.
///
/// Short ones are copied into memory that they share. Kept as they are, each would hold on to an allocation of its own for
/// as long as it is kept, and the allocator would take longer to find room for it than everything else that is done for it.
struct KeptMessages: Sendable {
    /// Where a message is.
    struct Place: Sendable {
        /// Of all that there were.
        fileprivate var chunk: Int
        fileprivate var offset: UInt32
        fileprivate var length: UInt32

        fileprivate init(chunk: Int, offset: Int, length: Int) {
            self.chunk = chunk
            // Nothing in a ByteBuffer is longer, and no chunk.
            self.offset = UInt32(offset)
            self.length = UInt32(length)
        }

        fileprivate var range: Range<Int> { Int(self.offset)..<Int(self.offset) + Int(self.length) }
    }

    private struct Chunk: Sendable {
        /// An array, which is quicker to append to than a ByteBuffer.
        var bytes: [UInt8]
        var count: Int
        /// The only message, if it is kept as it is.
        var alone: ByteBuffer?

        /// - Returns: how many bytes are kept less.
        mutating func remove(_ place: Place) -> Int {
            self.count -= 1
            return (self.alone?.storageCapacity ?? Int(place.length)) + KeptMessages.overhead
        }
    }

    private static let chunkBytes = 64 << 10
    private static let longestCopied = 4 << 10
    /// What a message takes besides its bytes.
    private static let overhead = 96

    private var full = Deque<Chunk>()
    /// The number of the first of ``full``.
    private var firstNumber = 0
    private var open: [UInt8] = []
    private var openCount = 0
    /// Memory for the next chunk: freeing and allocating much at once is slow.
    private var spare: [UInt8] = []
    /// What they take.
    private(set) var bytes = 0

    /// - Returns: where it is until it is removed.
    mutating func append(_ message: ByteBuffer) -> Place {
        let length = message.readableBytes
        guard length <= Self.longestCopied else { return self.keep(message) }
        if self.open.capacity - self.open.count < length { self.makeRoom() }
        let place = Place(chunk: self.firstNumber + self.full.count, offset: self.open.count, length: length)
        message.withUnsafeReadableBytes { self.open.append(contentsOf: $0) }
        self.openCount += 1
        self.bytes += length + Self.overhead
        return place
    }

    private mutating func keep(_ message: ByteBuffer) -> Place {
        if self.openCount > 0 { self.close() }
        let place = Place(
            chunk: self.firstNumber + self.full.count,
            offset: message.readerIndex,
            length: message.readableBytes
        )
        self.full.append(Chunk(bytes: [], count: 1, alone: message))
        self.bytes += message.storageCapacity + Self.overhead
        return place
    }

    private mutating func makeRoom() {
        if self.openCount > 0 { self.close() }
        swap(&self.open, &self.spare)
        self.open.removeAll(keepingCapacity: true)
        self.open.reserveCapacity(Self.chunkBytes)
    }

    private mutating func close() {
        self.full.append(Chunk(bytes: self.open, count: self.openCount))
        self.open = []
        self.openCount = 0
    }

    func message(at place: Place) -> ByteBuffer {
        let index = place.chunk - self.firstNumber
        guard index < self.full.count else { return ByteBuffer(bytes: self.open[place.range]) }
        let chunk = self.full[index]
        // A copy, which does not hold on to what is beside it.
        guard let alone = chunk.alone else { return ByteBuffer(bytes: chunk.bytes[place.range]) }
        guard let slice = alone.getSlice(at: Int(place.offset), length: Int(place.length)) else {
            preconditionFailure("a message that is not kept")
        }
        return slice
    }

    /// Removes the oldest one, which is there.
    mutating func removeFirst(_ place: Place) {
        guard !self.full.isEmpty else { return self.removeFromOpen(place) }
        self.bytes -= self.full[0].remove(place)
        guard self.full[0].count == 0 else { return }
        let chunk = self.full.removeFirst()
        if chunk.alone == nil { self.spare = chunk.bytes }
        self.firstNumber += 1
    }

    /// Removes the newest one.
    mutating func removeLast(_ place: Place) {
        let index = place.chunk - self.firstNumber
        guard index < self.full.count else { return self.removeFromOpen(place) }
        self.bytes -= self.full[index].remove(place)
        // Nothing is behind it, so that its number can be given again.
        if self.full[index].count == 0 { self.full.removeLast() }
    }

    private mutating func removeFromOpen(_ place: Place) {
        self.bytes -= Int(place.length) + Self.overhead
        self.openCount -= 1
        if self.openCount == 0 { self.open.removeAll(keepingCapacity: true) }
    }
}
