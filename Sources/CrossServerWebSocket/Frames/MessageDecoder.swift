import CrossServerWire
import NIOCore

/// Turns the bytes of a connection into messages and control frames.
///
/// The bytes of one read are unmasked in one pass; whole messages are then handed out as slices of them. Only what is
/// incomplete at the end of a read is copied: a piece of a header or control frame as it is, a piece of a message behind
/// what already came of it, validated and inflated at once.
struct MessageDecoder {
    enum Event {
        case message(WebSocketMessage)
        case ping(ByteBuffer)
        case pong(ByteBuffer)
        case close(CloseFrame)
    }

    private let role: WebSocketRole
    private let maximumMessageSize: Int
    private let maximumFragments: Int
    private let deflate: DeflateCodec?
    /// Unmasked but for a header or control frame whose end is missing.
    private var input = ByteBuffer()
    private var partial: PartialMessage?
    /// The data frame whose payload is being read.
    private var frame = OpenFrame()

    private struct OpenFrame {
        var remaining = 0
        var offset = 0
        var maskingKey: UInt32 = 0
        var isFinal = false
    }

    init(role: WebSocketRole, maximumMessageSize: Int, maximumFragments: Int, deflate: DeflateCodec?) {
        self.role = role
        self.maximumMessageSize = maximumMessageSize
        self.maximumFragments = maximumFragments
        self.deflate = deflate
    }

    /// Takes the bytes of a read. Call ``next()`` until it returns nil afterwards.
    ///
    /// - Parameter scratch: where the bytes are unmasked; its contents are overwritten. When nobody keeps a slice of the
    ///   messages, it can be used again without an allocation.
    mutating func receive(_ buffer: ByteBuffer, scratch: inout ByteBuffer) {
        if self.role == .client, self.input.readableBytes == 0 {
            self.input = buffer
            return
        }
        // A shared buffer would be copied by the first write to it anyhow.
        scratch.clear(minimumCapacity: self.input.readableBytes + buffer.readableBytes)
        scratch.writeImmutableBuffer(self.input)
        scratch.writeImmutableBuffer(buffer)
        if self.role == .server {
            let frame = self.frame
            let allowsCompression = self.deflate != nil
            scratch.withUnsafeMutableReadableBytes { bytes in
                Self.unmask(bytes, continuing: frame, allowsCompression: allowsCompression)
            }
        }
        self.input = scratch
    }

    /// Bytes in memory of the message whose end has not been read.
    var bufferedCapacity: Int { self.partial?.capacity ?? 0 }

    /// Bytes in memory of all that was not handed out.
    var heldBytes: Int { self.bufferedCapacity + self.input.readableBytes }

    /// Whether there are bytes that were not looked at.
    var hasInput: Bool { self.input.readableBytes > 0 }

    /// Lets go of the bytes that were not decoded.
    mutating func discard() {
        self.input = ByteBuffer()
        self.partial = nil
        self.frame = OpenFrame()
    }

    /// - Returns: nil when more bytes are needed.
    /// - Throws: the decoder must not be used any more then.
    mutating func next() throws(WebSocketError) -> Event? {
        while true {
            if self.frame.remaining > 0 {
                guard self.input.readableBytes > 0 else { break }
                if let message = try self.readPiece() { return .message(message) }
                continue
            }
            let result = self.input.withUnsafeReadableBytes { bytes in
                FrameHeader.parse(bytes, role: self.role, allowsCompression: self.deflate != nil)
            }
            guard case .header(let header) = result else {
                if case .invalid(let violation) = result { throw violation.error }
                break
            }
            if header.opcode.isControl {
                guard self.input.readableBytes >= header.size + header.payloadSize else { break }
                return try self.readControl(header)
            }
            if let message = try self.beginData(header) { return .message(message) }
        }
        // The scratch buffer must be free for the next read.
        self.input = self.input.readableBytes == 0 ? ByteBuffer() : ByteBuffer(bytes: self.input.readableBytesView)
        return nil
    }

    /// Unmasks all payloads whose headers are complete, but for a control frame whose end is missing.
    private static func unmask(
        _ bytes: UnsafeMutableRawBufferPointer,
        continuing frame: OpenFrame,
        allowsCompression: Bool
    ) {
        var index = min(frame.remaining, bytes.count)
        if index > 0 {
            Masking.apply(key: frame.maskingKey, offset: frame.offset, to: .init(rebasing: bytes[..<index]))
        }
        while index < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[index...])
            let result = FrameHeader.parse(rest, role: .server, allowsCompression: allowsCompression)
            guard case .header(let header) = result else { return }
            let start = index + header.size
            let available = min(header.payloadSize, bytes.count - start)
            if header.opcode.isControl, available < header.payloadSize { return }
            index = start + available
            Masking.apply(key: header.maskingKey, offset: 0, to: .init(rebasing: bytes[start..<index]))
        }
    }

    private mutating func readControl(_ header: FrameHeader) throws(WebSocketError) -> Event {
        self.input.moveReaderIndex(forwardBy: header.size)
        let payload = self.take(header.payloadSize)
        switch header.opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong(payload)
        default: return .close(try CloseFrame(parsing: payload))
        }
    }

    /// Takes a data frame's header, and its payload too when the frame is a whole message and complete.
    private mutating func beginData(_ header: FrameHeader) throws(WebSocketError) -> WebSocketMessage? {
        let isFirst = header.opcode != .continuation
        if isFirst {
            guard self.partial == nil else { throw .protocolError("new message before the end of the last one") }
        } else {
            guard let partial = self.partial else { throw .protocolError("continuation of no message") }
            partial.fragments += 1
            guard partial.fragments <= self.maximumFragments else {
                throw WebSocketError(closeCode: .policyViolation, message: "too many fragments")
            }
        }
        try self.checkSize(header)
        self.input.moveReaderIndex(forwardBy: header.size)

        let kind: WebSocketMessage.Kind = header.opcode == .text ? .text : .binary
        if isFirst, header.isFinal, !header.isCompressed, self.input.readableBytes >= header.payloadSize {
            let payload = self.take(header.payloadSize)
            if kind == .text, !payload.withUnsafeReadableBytes({ UTF8Validator.isValid($0) }) {
                throw PartialMessage.invalidText
            }
            return WebSocketMessage(kind: kind, payload: payload)
        }
        if isFirst {
            self.partial = PartialMessage(kind: kind, inflating: header.isCompressed ? self.deflate : nil)
        }
        self.frame = OpenFrame(
            remaining: header.payloadSize,
            offset: 0,
            maskingKey: header.maskingKey,
            isFinal: header.isFinal
        )
        return header.payloadSize == 0 ? try self.endFrame() : nil
    }

    /// Refuses a frame that makes its message too large, before any of it is kept.
    private func checkSize(_ header: FrameHeader) throws(WebSocketError) {
        let isCompressed = self.partial?.isCompressed ?? header.isCompressed
        let limit =
            isCompressed ? DeflateCodec.maximumCompressedSize(for: self.maximumMessageSize) : self.maximumMessageSize
        guard header.payloadSize <= limit - (self.partial?.receivedSize ?? 0) else {
            throw .tooBig("message is larger than \(self.maximumMessageSize) bytes")
        }
    }

    /// Moves what is there of the open frame to its message.
    private mutating func readPiece() throws(WebSocketError) -> WebSocketMessage? {
        let piece = self.take(min(self.frame.remaining, self.input.readableBytes))
        self.frame.remaining -= piece.readableBytes
        self.frame.offset += piece.readableBytes
        try self.partial?.append(piece, maximumSize: self.maximumMessageSize)
        return self.frame.remaining == 0 ? try self.endFrame() : nil
    }

    private mutating func endFrame() throws(WebSocketError) -> WebSocketMessage? {
        guard self.frame.isFinal, let partial = self.partial else { return nil }
        self.partial = nil
        return try partial.finish(maximumSize: self.maximumMessageSize)
    }

    /// - Parameter count: at most what is readable.
    private mutating func take(_ count: Int) -> ByteBuffer {
        self.input.readSlice(length: count) ?? ByteBuffer()
    }
}
