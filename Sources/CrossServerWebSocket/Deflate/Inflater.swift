import CCrossServerZlib
import NIOCore

/// A raw inflate stream that lives as long as its context is taken over.
final class Inflater {
    /// On the heap of its own because zlib keeps its address.
    private let stream: UnsafeMutablePointer<z_stream>
    /// Compressed bytes of the current message.
    private var consumed = 0
    /// The current message ended with a final block, and nothing followed it yet.
    private var isAtStreamEnd = false

    /// A ratio is looked at only when the message is larger.
    private static let ratioThreshold = 65_536
    /// The end of a flushed block, which senders leave out (RFC 7692, section 7.2.1).
    private static let tail = ByteBuffer(bytes: [0x00, 0x00, 0xFF, 0xFF])

    /// - Parameter windowBits: 8 to 15.
    /// - Returns: nil when there is no memory.
    init?(windowBits: Int) {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        guard CCrossServerZlib_inflateInit2(self.stream, -Int32(windowBits)) == Z_OK else {
            self.stream.deallocate()
            return nil
        }
    }

    deinit {
        inflateEnd(self.stream)
        self.stream.deallocate()
    }

    /// Inflates a piece of a message.
    ///
    /// - Parameters:
    ///   - output: what the message inflated to so far, and nothing else.
    ///   - maximumSize: of the output, in bytes. It is never filled further.
    func inflate(
        _ piece: ByteBuffer,
        into output: inout ByteBuffer,
        maximumSize: Int,
        maximumRatio: Int
    ) throws(WebSocketError) {
        try piece.withUnsafeReadableBytes { (bytes) throws(WebSocketError) in
            try self.inflate(bytes, into: &output, maximumSize: maximumSize, maximumRatio: maximumRatio)
        }
    }

    private func inflate(
        _ input: UnsafeRawBufferPointer,
        into output: inout ByteBuffer,
        maximumSize: Int,
        maximumRatio: Int
    ) throws(WebSocketError) {
        guard input.count > 0 else { return }
        self.isAtStreamEnd = false
        self.consumed += input.count
        // zlib does not write through next_in; its type lacks the const.
        self.stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        )
        self.stream.pointee.avail_in = UInt32(input.count)
        defer { self.stream.pointee.next_in = nil }

        var isFinished = false
        while !isFinished {
            let room = min(maximumSize - output.readableBytes, max(output.readableBytes, 4 * input.count, 512))
            let (result, unused) = room > 0 ? self.step(into: &output, room: room) : self.probe()
            switch result {
            case Z_OK, Z_BUF_ERROR:
                break
            case Z_STREAM_END:
                // What follows a final block starts a new stream, with the same window (RFC 7692, section 7.2.3.4).
                inflateResetKeep(self.stream)
                self.isAtStreamEnd = self.stream.pointee.avail_in == 0
            default:
                throw .invalidPayload("compressed data is invalid")
            }
            if room <= 0, unused == 0 { throw .tooBig("message inflates to more than \(maximumSize) bytes") }
            if output.readableBytes > Self.ratioThreshold, output.readableBytes / max(1, maximumRatio) > self.consumed {
                throw .tooBig("message inflates to more than \(maximumRatio) times its size")
            }
            isFinished = self.stream.pointee.avail_in == 0 && unused > 0 || result == Z_BUF_ERROR && unused > 0
        }
    }

    /// Ends a message: adds the tail that the sender left out.
    func finish(into output: inout ByteBuffer, maximumSize: Int, maximumRatio: Int) throws(WebSocketError) {
        defer {
            self.consumed = 0
            self.isAtStreamEnd = false
        }
        guard self.consumed > 0, !self.isAtStreamEnd else { return }
        try self.inflate(Self.tail, into: &output, maximumSize: maximumSize, maximumRatio: maximumRatio)
        // zlib reports with this bit that it stands between two blocks.
        guard self.stream.pointee.data_type & 128 != 0 else {
            throw .invalidPayload("compressed data ends within a block")
        }
    }

    /// Forgets the window.
    func reset() {
        inflateReset(self.stream)
    }

    private func step(into output: inout ByteBuffer, room: Int) -> (result: Int32, unused: Int) {
        var answer: (result: Int32, unused: Int) = (Z_BUF_ERROR, 0)
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
            self.stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
            self.stream.pointee.avail_out = UInt32(room)
            let result = CCrossServerZlib.inflate(self.stream, Z_SYNC_FLUSH)
            answer = (result, Int(self.stream.pointee.avail_out))
            return room - answer.unused
        }
        return answer
    }

    /// Whether there would be one more byte of output: `unused` is 0 then.
    private func probe() -> (result: Int32, unused: Int) {
        var byte: UInt8 = 0
        return withUnsafeMutablePointer(to: &byte) { target in
            self.stream.pointee.next_out = target
            self.stream.pointee.avail_out = 1
            let result = CCrossServerZlib.inflate(self.stream, Z_SYNC_FLUSH)
            return (result, Int(self.stream.pointee.avail_out))
        }
    }
}
