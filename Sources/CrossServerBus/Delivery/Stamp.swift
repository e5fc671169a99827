import CrossServerWire
package import NIOCore

/// What numbers a message: one key of our own, the last at the top of the map of any message between servers.
///
/// 25 bytes in MessagePack, 35 in JSON. It stands at the end, so that it can be added to a message that is encoded
/// already, and read without decoding the message. The original ignores the key.
package struct Stamp: Sendable, Hashable {
    /// The life of the server that sends.
    package var incarnation: UInt64
    /// Of the message among those of this life on this channel; from 1. 40 bits.
    package var number: UInt64
    /// Milliseconds since the sender started. 40 bits.
    package var uptime: Int64
    /// Milliseconds since the sender's previous message on the channel, at most ``longest``; ``first`` when there was
    /// none, or it is forgotten. 24 bits.
    package var sincePrevious: UInt32

    package static let first: UInt32 = 0xFF_FFFF
    package static let longest: UInt32 = 0xFF_FFFD
    /// The message belongs to no stream: it is sent once, and dropped when a later one was there before. Its number is one
    /// of all such messages of the life.
    package static let once: UInt32 = 0xFF_FFFE
    package static let maximumNumber: UInt64 = 1 << 40 - 1
    package static var messagePackLength: Int { BusMessage.stampLength }
    package static let jsonLength = 35

    package init(incarnation: UInt64, number: UInt64, uptime: Int64, sincePrevious: UInt32) {
        self.incarnation = incarnation
        self.number = number
        self.uptime = uptime
        self.sincePrevious = sincePrevious
    }

    var isFirst: Bool { self.sincePrevious == Self.first }
    package var isOnce: Bool { self.sincePrevious == Self.once }

    // MARK: Writing

    /// Adds the stamp to an encoded message.
    ///
    /// - Returns: false, and leaves the message as it is, when it is neither a small MessagePack map nor a JSON object.
    package func append(to message: inout ByteBuffer) -> Bool {
        guard let head = message.withUnsafeReadableBytes({ $0.first }) else { return false }
        switch head {
        case 0x80...0x8e:
            message.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.messagePackLength) { bytes in
                bytes.storeBytes(of: BusMessage.stampMark.bigEndian, toByteOffset: 0, as: UInt32.self)
                self.pack(into: UnsafeMutableRawBufferPointer(rebasing: bytes[4...]))
                return Self.messagePackLength
            }
            message.withUnsafeMutableReadableBytes { $0[0] = head + 1 }
            return true
        case UInt8(ascii: "{"):
            let end = message.writerIndex - 1
            guard message.readableBytes > 2, message.getInteger(at: end, as: UInt8.self) == UInt8(ascii: "}")
            else { return false }
            message.moveWriterIndex(to: end)
            message.writeStaticString(Self.jsonMark)
            message.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.packedCharacters) { bytes in
                withUnsafeTemporaryAllocation(byteCount: Self.packedLength, alignment: 1) { packed in
                    self.pack(into: packed)
                    SixBits.encode(UnsafeRawBufferPointer(packed), into: bytes)
                }
                return Self.packedCharacters
            }
            message.writeStaticString(Self.jsonEnd)
            return true
        default:
            return false
        }
    }

    private static let jsonMark: StaticString = ",\"~\":\""
    private static let jsonEnd: StaticString = "\"}"
    private static let packedLength = 21
    private static let packedCharacters = 28

    private func pack(into bytes: UnsafeMutableRawBufferPointer) {
        let uptime = UInt64(clamping: self.uptime) & 0xFF_FFFF_FFFF
        let high = self.number << 24 | uptime >> 16
        let low = UInt32(truncatingIfNeeded: uptime & 0xFFFF) << 16 | self.sincePrevious >> 8
        bytes.storeBytes(of: self.incarnation.bigEndian, toByteOffset: 0, as: UInt64.self)
        bytes.storeBytes(of: high.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: low.bigEndian, toByteOffset: 16, as: UInt32.self)
        bytes.storeBytes(of: UInt8(truncatingIfNeeded: self.sincePrevious), toByteOffset: 20, as: UInt8.self)
    }

    // MARK: Messages that hold nothing

    /// A message in the place of one that was withdrawn: a map that has no key but the stamp.
    var emptyMessage: ByteBuffer {
        var message = ByteBuffer(bytes: [0x80])
        let isStamped = self.append(to: &message)
        assert(isStamped)
        return message
    }

    static func isEmpty(_ message: ByteBuffer) -> Bool { message.readableBytes == 1 + Self.messagePackLength }

    // MARK: Reading

    /// The stamp of an encoded message; nil when it has none.
    package init?(endOf message: ByteBuffer) {
        let stamp = message.withUnsafeReadableBytes { bytes -> Stamp? in
            switch bytes.first {
            case .some(0x81...0x8f): Stamp(endOfMessagePack: bytes)
            case UInt8(ascii: "{"): Stamp(endOfJSON: bytes)
            default: nil
            }
        }
        guard let stamp, stamp.number > 0 else { return nil }
        self = stamp
    }

    private init?(endOfMessagePack bytes: UnsafeRawBufferPointer) {
        let start = bytes.count - Self.messagePackLength
        guard start > 0,
            bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self) == BusMessage.stampMark.bigEndian
        else { return nil }
        self.init(packed: UnsafeRawBufferPointer(rebasing: bytes[(start + 4)...]))
    }

    private init?(endOfJSON bytes: UnsafeRawBufferPointer) {
        let start = bytes.count - Self.jsonLength - 1
        guard start > 0 else { return nil }
        let text = start + Self.jsonMark.utf8CodeUnitCount
        let end = text + Self.packedCharacters
        guard bytes[start..<text].elementsEqual(Self.jsonMark), bytes[end...].elementsEqual(Self.jsonEnd)
        else { return nil }
        let stamp = withUnsafeTemporaryAllocation(byteCount: Self.packedLength, alignment: 1) { packed in
            SixBits.decode(UnsafeRawBufferPointer(rebasing: bytes[text..<end]), into: packed)
                ? Stamp(packed: UnsafeRawBufferPointer(packed)) : nil
        }
        guard let stamp else { return nil }
        self = stamp
    }

    private init(packed bytes: UnsafeRawBufferPointer) {
        let high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let low = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        self.incarnation = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        self.number = high >> 24
        self.uptime = Int64((high & 0xFF_FFFF) << 16 | UInt64(low >> 16))
        self.sincePrevious = (low & 0xFFFF) << 8 | UInt32(bytes[20])
    }
}

extension Slice<UnsafeRawBufferPointer> {
    fileprivate func elementsEqual(_ text: StaticString) -> Bool {
        self.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

/// Base 64 (RFC 4648, section 4) for a number of bytes that needs no padding: three bytes in four characters.
private enum SixBits {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    static func encode(_ bytes: UnsafeRawBufferPointer, into text: UnsafeMutableRawBufferPointer) {
        for index in 0..<(bytes.count / 3) {
            let (first, second, third) = (bytes[3 * index], bytes[3 * index + 1], bytes[3 * index + 2])
            let group = UInt32(first) << 16 | UInt32(second) << 8 | UInt32(third)
            for place in 0..<4 {
                text[4 * index + place] = Self.alphabet.utf8Start[Int(group >> UInt32(18 - 6 * place)) & 63]
            }
        }
    }

    /// - Returns: false when a character is not one of the 64.
    static func decode(_ text: UnsafeRawBufferPointer, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        for index in 0..<(text.count / 4) {
            var group: UInt32 = 0
            for place in 0..<4 {
                guard let bits = Self.bits(text[4 * index + place]) else { return false }
                group = group << 6 | UInt32(bits)
            }
            for place in 0..<3 { bytes[3 * index + place] = UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * place)) }
        }
        return true
    }

    private static func bits(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
