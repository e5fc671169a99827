public import NIOCore

/// A message encoded once as an unmasked, uncompressed single frame, to be sent to any number of peers.
public struct EncodedMessage: Sendable {
    public let kind: WebSocketMessage.Kind
    /// The whole frame.
    public let frame: ByteBuffer
    private let headerSize: UInt8

    /// The size of a header for the largest payload.
    private static let maximumHeaderSize = 10

    /// - Parameter text: must be valid UTF-8.
    public init(text: ByteBuffer) {
        self.init(kind: .text, payloadCapacity: text.readableBytes) { $0.writeImmutableBuffer(text) }
    }

    public init(text: String) {
        self.init(kind: .text, payloadCapacity: text.utf8.count) { $0.writeString(text) }
    }

    public init(binary: ByteBuffer) {
        self.init(kind: .binary, payloadCapacity: binary.readableBytes) { $0.writeImmutableBuffer(binary) }
    }

    /// Writes the payload directly behind the room that is kept for the header.
    ///
    /// - Parameters:
    ///   - payloadCapacity: the expected size of the payload in bytes; more may be written.
    ///   - writing: appends the payload. Must not touch what is in the buffer before, nor move its reader index.
    public init(
        kind: WebSocketMessage.Kind,
        payloadCapacity: Int,
        allocator: ByteBufferAllocator = .init(),
        writing: (inout ByteBuffer) -> Void
    ) {
        var buffer = allocator.buffer(capacity: Self.maximumHeaderSize + payloadCapacity)
        buffer.moveWriterIndex(to: Self.maximumHeaderSize)
        buffer.moveReaderIndex(to: Self.maximumHeaderSize)
        writing(&buffer)
        self.kind = kind
        self.headerSize = Self.writeHeader(kind, before: &buffer)
        self.frame = buffer
    }

    /// Takes the buffer in place: a second reference to it would make the first write copy the payload.
    ///
    /// - Returns: the size of the header in bytes.
    private static func writeHeader(_ kind: WebSocketMessage.Kind, before buffer: inout ByteBuffer) -> UInt8 {
        let size = buffer.writerIndex - Self.maximumHeaderSize
        let firstByte: UInt8 = kind == .text ? 0x81 : 0x82
        let headerSize: Int
        switch size {
        case ..<126:
            headerSize = 2
            let start = Self.maximumHeaderSize - headerSize
            buffer.setInteger(UInt16(firstByte) << 8 | UInt16(size), at: start)
        case ..<65_536:
            headerSize = 4
            let start = Self.maximumHeaderSize - headerSize
            buffer.setInteger(UInt32(firstByte) << 24 | 126 << 16 | UInt32(size), at: start)
        default:
            headerSize = 10
            buffer.setInteger(UInt16(firstByte) << 8 | 127, at: 0)
            buffer.setInteger(UInt64(size), at: 2)
        }
        buffer.moveReaderIndex(to: Self.maximumHeaderSize - headerSize)
        return UInt8(headerSize)
    }

    /// A slice of the frame, not a copy.
    public var payload: ByteBuffer {
        var payload = self.frame
        payload.moveReaderIndex(forwardBy: Int(self.headerSize))
        return payload
    }

    /// In bytes.
    public var payloadSize: Int {
        self.frame.readableBytes - Int(self.headerSize)
    }
}
