import HTTPTypes
import NIOCore

/// The beginning of the body of an answer that is no upgrade, without the framing of chunks (RFC 9112, section 7.1).
struct RefusalBody {
    private enum Framing: Equatable {
        /// No more than the length is wanted.
        case length
        /// The line with the size of the next chunk.
        case size
        /// So many bytes of a chunk.
        case chunk(Int)
        /// The end of the line behind a chunk.
        case chunkEnd
        /// Nothing more is read.
        case end
    }

    /// What is kept, in bytes.
    static let maximumSize = 1_024
    /// Of the line with a chunk's size and its extensions, in bytes. Beyond: the body ends before it.
    private static let maximumLineSize = 1_024

    private let size: Int
    private var framing: Framing
    private var input = ByteBuffer()
    private var content = ByteBuffer()

    /// - Parameter rest: what came with the head. A body of unknown length is taken as far as that.
    init(_ fields: HTTPFields, rest: ByteBuffer) {
        // A length beside chunks does not count (RFC 9112, section 6.3).
        if HTTPTokens.list(fields[values: .transferEncodingField]).last?.lowercased() == "chunked" {
            self.size = Self.maximumSize
            self.framing = .size
        } else {
            let announced = fields[.contentLength].flatMap { Int($0) } ?? rest.readableBytes
            self.size = min(max(0, announced), Self.maximumSize)
            self.framing = .length
        }
        self.read(rest)
    }

    /// Whether all that is wanted is there.
    var isComplete: Bool { self.framing == .end || self.content.readableBytes >= self.size }

    /// What has come of it.
    var text: String { String(buffer: self.content) }

    mutating func read(_ bytes: ByteBuffer) {
        self.input.writeImmutableBuffer(bytes)
        while !self.isComplete, self.step() {}
        self.input.discardReadBytes()
    }

    /// - Returns: false when more bytes are needed.
    private mutating func step() -> Bool {
        switch self.framing {
        case .length:
            _ = self.take(self.size)
            return false
        case .size:
            let line = self.input.readableBytesView.prefix(Self.maximumLineSize)
            guard let end = line.firstIndex(of: 0x0A) else {
                if line.count == Self.maximumLineSize { self.framing = .end }
                return false
            }
            let digits = line[..<end].prefix { Unicode.Scalar($0).properties.isASCIIHexDigit }
            let size = Int(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0
            self.input.moveReaderIndex(to: end + 1)
            // The last chunk, or what is none: what came before is all there is.
            self.framing = size == 0 ? .end : .chunk(size)
        case .chunk(let left):
            let taken = self.take(left)
            if taken == 0 { return false }
            self.framing = taken == left ? .chunkEnd : .chunk(left - taken)
        case .chunkEnd:
            guard self.input.readBytes(length: 2) != nil else { return false }
            self.framing = .size
        case .end:
            return false
        }
        return true
    }

    /// - Returns: how many bytes have come of so many.
    private mutating func take(_ count: Int) -> Int {
        let wanted = min(count, self.size - self.content.readableBytes)
        guard let part = self.input.readSlice(length: min(wanted, self.input.readableBytes)) else { return 0 }
        return self.content.writeImmutableBuffer(part)
    }
}
