import NIOCore

enum Opcode: UInt8 {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    var isControl: Bool { self.rawValue >= 0x8 }
}

/// The header of a frame (RFC 6455, section 5.2).
struct FrameHeader {
    /// The first two bytes, an eight byte length and the masking key.
    static let maximumSize = 14
    /// The largest payload of a control frame (RFC 6455, section 5.5).
    static let maximumControlPayload = 125

    /// The size of an unmasked frame's header.
    static func size(payloadSize: Int) -> Int {
        payloadSize < 126 ? 2 : payloadSize < 65_536 ? 4 : 10
    }

    var opcode: Opcode
    var isFinal: Bool
    /// RSV1: the message is compressed (RFC 7692, section 6).
    var isCompressed: Bool
    /// Of the header, in bytes.
    var size: Int
    var payloadSize: Int
    /// The first byte on the wire is the lowest. 0 when the frame is not masked.
    var maskingKey: UInt32

    enum Violation {
        case reservedBits
        case compressedControlOrContinuation
        case reservedOpcode
        case fragmentedControl
        case longControl
        case unmasked
        case masked
        case lengthNotMinimal
        case lengthTooLarge
    }

    enum ParseResult {
        case header(FrameHeader)
        case incomplete
        case invalid(Violation)
    }

    /// Parses a header at the start of the bytes and refuses it at the first byte that breaks a rule.
    static func parse(_ bytes: UnsafeRawBufferPointer, role: WebSocketRole, allowsCompression: Bool) -> ParseResult {
        guard bytes.count > 0 else { return .incomplete }
        let first = bytes[0]
        guard first & 0x30 == 0, first & 0x40 == 0 || allowsCompression else { return .invalid(.reservedBits) }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { return .invalid(.reservedOpcode) }
        let isFinal = first & 0x80 != 0
        let isCompressed = first & 0x40 != 0
        if isCompressed, opcode != .text, opcode != .binary { return .invalid(.compressedControlOrContinuation) }
        if opcode.isControl, !isFinal { return .invalid(.fragmentedControl) }

        guard bytes.count > 1 else { return .incomplete }
        let second = bytes[1]
        let isMasked = second & 0x80 != 0
        if isMasked != (role == .server) { return .invalid(isMasked ? .masked : .unmasked) }
        let length = second & 0x7F
        if opcode.isControl, length > Self.maximumControlPayload { return .invalid(.longControl) }

        var size = 2
        var payloadSize = Int(length)
        if length == 126 {
            guard bytes.count >= 4 else { return .incomplete }
            payloadSize = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
            guard payloadSize >= 126 else { return .invalid(.lengthNotMinimal) }
            size = 4
        } else if length == 127 {
            guard bytes.count >= 10 else { return .incomplete }
            let long = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
            guard long >= 65_536 else { return .invalid(.lengthNotMinimal) }
            guard let fitting = Int(exactly: long) else { return .invalid(.lengthTooLarge) }
            payloadSize = fitting
            size = 10
        }
        var maskingKey: UInt32 = 0
        if isMasked {
            guard bytes.count >= size + 4 else { return .incomplete }
            maskingKey = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: size, as: UInt32.self))
            size += 4
        }
        return .header(
            .init(
                opcode: opcode,
                isFinal: isFinal,
                isCompressed: isCompressed,
                size: size,
                payloadSize: payloadSize,
                maskingKey: maskingKey
            )
        )
    }
}

extension FrameHeader.Violation {
    var error: WebSocketError {
        switch self {
        case .reservedBits: .protocolError("reserved bit set")
        case .compressedControlOrContinuation: .protocolError("RSV1 set on a control or continuation frame")
        case .reservedOpcode: .protocolError("reserved opcode")
        case .fragmentedControl: .protocolError("fragmented control frame")
        case .longControl: .protocolError("control frame longer than 125 bytes")
        case .unmasked: .protocolError("frame of a client is not masked")
        case .masked: .protocolError("frame of a server is masked")
        case .lengthNotMinimal: .protocolError("length not in its shortest form")
        case .lengthTooLarge: .protocolError("length with the highest bit set")
        }
    }
}

extension ByteBuffer {
    /// Appends a frame, masked when there is a key.
    mutating func writeFrame(
        _ opcode: Opcode,
        isCompressed: Bool = false,
        payload: ByteBuffer,
        maskingKey: UInt32?
    ) {
        self.reserveCapacity(minimumWritableBytes: FrameHeader.maximumSize + payload.readableBytes)
        self.writeFrameHeader(
            opcode,
            isCompressed: isCompressed,
            payloadSize: payload.readableBytes,
            isMasked: maskingKey != nil
        )
        if let maskingKey {
            self.writeInteger(maskingKey, endianness: .little)
            let start = self.readableBytes
            self.writeImmutableBuffer(payload)
            self.withUnsafeMutableReadableBytes { bytes in
                Masking.apply(key: maskingKey, offset: 0, to: .init(rebasing: bytes[start...]))
            }
        } else {
            self.writeImmutableBuffer(payload)
        }
    }
    /// Appends the header of a frame that is final, without its masking key.
    mutating func writeFrameHeader(
        _ opcode: Opcode,
        isCompressed: Bool = false,
        payloadSize: Int,
        isMasked: Bool = false
    ) {
        let first = UInt16(0x80 | (isCompressed ? 0x40 : 0) | opcode.rawValue) << 8
        let maskBit: UInt16 = isMasked ? 0x80 : 0
        switch payloadSize {
        case ..<126:
            self.writeInteger(first | maskBit | UInt16(payloadSize))
        case ..<65_536:
            self.writeInteger(UInt32(first | maskBit | 126) << 16 | UInt32(payloadSize))
        default:
            self.writeInteger(first | maskBit | 127)
            self.writeInteger(UInt64(payloadSize))
        }
    }
}
