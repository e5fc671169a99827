import NIOCore

/// Bytes that are written one small part after the other. A ByteBuffer checks itself at every write, which costs more
/// than what is written here.
///
/// They lie in borrowed memory as long as it suffices, then in memory of their own.
struct OutputBytes: ~Copyable {
    private var base: UnsafeMutableRawBufferPointer
    private var isOwned: Bool
    private(set) var count = 0

    /// - Parameter memory: must outlive the bytes.
    init(borrowing memory: UnsafeMutableRawBufferPointer) {
        self.base = memory
        self.isOwned = false
    }

    init(capacity: Int) {
        self.base = .allocate(byteCount: capacity, alignment: 1)
        self.isOwned = true
    }

    deinit {
        if self.isOwned { self.base.deallocate() }
    }

    var isBorrowed: Bool { !self.isOwned }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self.base[..<self.count]) }

    /// Gives the memory away, which must then be deallocated. Only for bytes that are not borrowed.
    consuming func take() -> UnsafeMutableRawBufferPointer {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: self.base[..<self.count])
        // What is given away begins where the memory begins.
        self.isOwned = false
        return bytes
    }

    @inline(__always)
    private mutating func reserve(_ size: Int) {
        if self.base.count &- self.count < size { self.grow(size) }
    }

    @inline(never)
    private mutating func grow(_ size: Int) {
        let grown = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(2 * self.base.count, self.count + size, 256),
            alignment: 1
        )
        grown.copyMemory(from: self.bytes)
        if self.isOwned { self.base.deallocate() }
        self.base = grown
        self.isOwned = true
    }

    @inline(__always)
    mutating func write(_ byte: UInt8) {
        self.reserve(1)
        self.base[self.count] = byte
        self.count &+= 1
    }

    /// Writes the integer in network byte order.
    @inline(__always)
    mutating func write<Integer: FixedWidthInteger>(integer: Integer) {
        self.reserve(MemoryLayout<Integer>.size)
        self.base.storeBytes(of: integer.bigEndian, toByteOffset: self.count, as: Integer.self)
        self.count &+= MemoryLayout<Integer>.size
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        self.reserve(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: self.base[self.count...]).copyMemory(from: bytes)
        self.count &+= bytes.count
    }

    mutating func write(_ text: StaticString) {
        text.withUTF8Buffer { self.write(UnsafeRawBufferPointer($0)) }
    }

    mutating func write(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { self.write($0) }
    }

    mutating func write(_ byte: UInt8, count: Int) {
        for _ in 0..<count { self.write(byte) }
    }

    /// Lets `body` write up to `size` bytes and return how many it wrote.
    mutating func write(upTo size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        self.reserve(size)
        self.count &+= body(UnsafeMutableRawBufferPointer(rebasing: self.base[self.count..<(self.count &+ size)]))
    }

    /// Replaces a byte that was written.
    mutating func set(_ byte: UInt8, at offset: Int) {
        self.base[offset] = byte
    }

    /// Goes back, or forward again to where bytes were written before.
    mutating func moveEnd(to offset: Int) {
        self.count = offset
    }
}

extension ByteBuffer {
    /// Writes what `body` writes; nothing when it throws.
    ///
    /// - Parameter estimate: room for so many bytes is made at once.
    mutating func writeOutput<Failure: Error>(
        estimate: Int,
        _ body: (inout OutputBytes) throws(Failure) -> Void
    ) throws(Failure) {
        // Growing would be slower.
        if self.capacity == 0 { self = ByteBufferAllocator().buffer(capacity: estimate) }
        var own: UnsafeMutableRawBufferPointer?
        try self.writeWithUnsafeMutableBytes(minimumWritableBytes: estimate) { memory throws(Failure) -> Int in
            var output = OutputBytes(borrowing: memory)
            try body(&output)
            if output.isBorrowed { return output.count }
            own = output.take()
            return 0
        }
        if let own {
            self.writeBytes(UnsafeRawBufferPointer(own))
            own.deallocate()
        }
    }
}
