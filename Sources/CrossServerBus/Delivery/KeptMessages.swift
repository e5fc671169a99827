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
        fileprivate var offset: Int
        fileprivate var length: Int
    }

    private struct Chunk: Sendable {
        var bytes: ByteBuffer
        var count: Int
        /// What the only message takes, if it is kept as it is.
        var aloneBytes: Int?
    }

    private static let chunkBytes = 64 << 10
    private static let longestCopied = 4 << 10
    /// What a message takes besides its bytes.
    private static let overhead = 96

    private var full = Deque<Chunk>()
    /// The number of the first of ``full``.
    private var firstNumber = 0
    private var open = ByteBuffer()
    private var openCount = 0
    /// Memory for the next chunk: freeing and allocating much at once is slow.
    private var spare: ByteBuffer?
    /// What they take.
    private(set) var bytes = 0

    /// - Returns: where it is until it is removed.
    mutating func append(_ message: ByteBuffer) -> Place {
        let length = message.readableBytes
        guard length <= Self.longestCopied else { return self.keep(message) }
        if self.open.writableBytes < length { self.makeRoom() }
        let place = Place(chunk: self.firstNumber + self.full.count, offset: self.open.writerIndex, length: length)
        message.withUnsafeReadableBytes { _ = self.open.writeBytes($0) }
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
        self.full.append(Chunk(bytes: message, count: 1, aloneBytes: message.storageCapacity))
        self.bytes += message.storageCapacity + Self.overhead
        return place
    }

    private mutating func makeRoom() {
        if self.openCount > 0 { self.close() }
        self.open = self.spare.take() ?? ByteBufferAllocator().buffer(capacity: Self.chunkBytes)
        self.open.clear()
    }

    private mutating func close() {
        self.full.append(Chunk(bytes: self.open, count: self.openCount))
        self.open = ByteBuffer()
        self.openCount = 0
    }

    func message(at place: Place) -> ByteBuffer {
        let index = place.chunk - self.firstNumber
        let isOpen = index == self.full.count
        let chunk = isOpen ? self.open : self.full[index].bytes
        guard let slice = chunk.getSlice(at: place.offset, length: place.length) else {
            preconditionFailure("a message that is not kept")
        }
        if !isOpen, self.full[index].aloneBytes != nil { return slice }
        // A copy, which does not hold on to what is beside it.
        var message = ByteBufferAllocator().buffer(capacity: place.length)
        message.writeImmutableBuffer(slice)
        return message
    }

    /// Removes the oldest one, which is there.
    mutating func removeFirst(_ place: Place) {
        guard !self.full.isEmpty else { return self.removeFromOpen(place) }
        self.bytes -= (self.full[0].aloneBytes ?? place.length) + Self.overhead
        self.full[0].count -= 1
        guard self.full[0].count == 0 else { return }
        let chunk = self.full.removeFirst()
        if chunk.aloneBytes == nil { self.spare = chunk.bytes }
        self.firstNumber += 1
    }

    /// Removes the newest one.
    mutating func removeLast(_ place: Place) {
        let index = place.chunk - self.firstNumber
        guard index < self.full.count else { return self.removeFromOpen(place) }
        self.bytes -= (self.full[index].aloneBytes ?? place.length) + Self.overhead
        self.full[index].count -= 1
        // Nothing is behind it, so that its number can be given again.
        if self.full[index].count == 0 { self.full.removeLast() }
    }

    private mutating func removeFromOpen(_ place: Place) {
        self.bytes -= place.length + Self.overhead
        self.openCount -= 1
        if self.openCount == 0 { self.open.clear() }
    }
}
