import CCrossServerZlib
import NIOCore

/// A raw deflate stream that lives as long as its context is taken over.
final class Deflater {
    /// On the heap of its own because zlib keeps its address.
    private let stream: UnsafeMutablePointer<z_stream>
    private static let tailSize = 4

    /// - Parameter windowBits: 9 to 15: zlib cannot make a raw stream with 8.
    /// - Returns: nil when there is no memory or a parameter is out of its range.
    init?(windowBits: Int, level: Int, memoryLevel: Int) {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        let result = CCrossServerZlib_deflateInit2(self.stream, Int32(level), -Int32(windowBits), Int32(memoryLevel))
        guard result == Z_OK else {
            self.stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(self.stream)
        self.stream.deallocate()
    }

    /// Appends the compressed payload, without the tail (RFC 7692, section 7.2.1).
    func compress(_ payload: ByteBuffer, into output: inout ByteBuffer) {
        payload.withUnsafeReadableBytes { input in
            // zlib does not write through next_in; its type lacks the const.
            self.stream.pointee.next_in = UnsafeMutablePointer(
                mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
            self.stream.pointee.avail_in = UInt32(input.count)
            var isFinished = false
            while !isFinished {
                // With less room than a flush needs, zlib would write the marker twice.
                let room = max(64, Int(self.stream.pointee.avail_in) / 2)
                output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
                    let size = min(target.count, Int(UInt32.max))
                    self.stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                    self.stream.pointee.avail_out = UInt32(size)
                    // Cannot fail: the state is valid and there is room. A result of Z_BUF_ERROR says that all is written.
                    deflate(self.stream, Z_SYNC_FLUSH)
                    isFinished = self.stream.pointee.avail_out > 0
                    return size - Int(self.stream.pointee.avail_out)
                }
            }
            self.stream.pointee.next_in = nil
        }
        output.moveWriterIndex(to: output.writerIndex - Self.tailSize)
    }

    /// Forgets the window.
    func reset() {
        deflateReset(self.stream)
    }
}
