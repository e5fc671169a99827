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
    package static let messagePackLength = 25
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
        guard let head = message.getInteger(at: message.readerIndex, as: UInt8.self) else { return false }
        switch head {
        case 0x80...0x8e:
            message.setInteger(head + 1, at: message.readerIndex)
            let (high, low, last) = self.packed
            message.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.messagePackLength) { bytes in
                bytes.storeBytes(of: Self.mark.bigEndian, toByteOffset: 0, as: UInt32.self)
                bytes.storeBytes(of: self.incarnation.bigEndian, toByteOffset: 4, as: UInt64.self)
                bytes.storeBytes(of: high.bigEndian, toByteOffset: 12, as: UInt64.self)
                bytes.storeBytes(of: low.bigEndian, toByteOffset: 20, as: UInt32.self)
                bytes.storeBytes(of: last, toByteOffset: 24, as: UInt8.self)
                return Self.messagePackLength
            }
            return true
        case UInt8(ascii: "{"):
            let end = message.writerIndex - 1
            guard message.readableBytes > 2, message.getInteger(at: end, as: UInt8.self) == UInt8(ascii: "}")
            else { return false }
            var bytes = ByteBuffer()
            let (high, low, last) = self.packed
            bytes.writeMultipleIntegers(self.incarnation, high, low, last)
            message.moveWriterIndex(to: end)
            message.writeStaticString(Self.jsonMark)
            message.writeSixBits(of: bytes)
            message.writeStaticString("\"}")
            return true
        default:
            return false
        }
    }

    /// In MessagePack a string of one character, and the head of 21 bytes of binary data. Not part of any UTF-8 text.
    private static let mark: UInt32 = 0xa1_7e_c4_15
    private static let jsonMark: StaticString = ",\"~\":\""

    private var packed: (UInt64, UInt32, UInt8) {
        let uptime = UInt64(clamping: self.uptime) & 0xFF_FFFF_FFFF
        return (
            self.number << 24 | uptime >> 16,
            UInt32(truncatingIfNeeded: uptime & 0xFFFF) << 16 | self.sincePrevious >> 8,
            UInt8(truncatingIfNeeded: self.sincePrevious)
        )
    }

    private init(incarnation: UInt64, _ high: UInt64, _ low: UInt32, _ last: UInt8) {
        self.incarnation = incarnation
        self.number = high >> 24
        self.uptime = Int64((high & 0xFF_FFFF) << 16 | UInt64(low >> 16))
        self.sincePrevious = (low & 0xFFFF) << 8 | UInt32(last)
    }

    // MARK: Reading

    /// The stamp of an encoded message; nil when it has none.
    package init?(endOf message: ByteBuffer) {
        guard let head = message.getInteger(at: message.readerIndex, as: UInt8.self) else { return nil }
        switch head {
        case 0x81...0x8f:
            guard message.readableBytes > Self.messagePackLength else { return nil }
            let fields = message.withUnsafeReadableBytes { bytes -> (UInt64, UInt64, UInt32, UInt8)? in
                let start = bytes.count - Self.messagePackLength
                func load<Value: FixedWidthInteger>(_ offset: Int) -> Value {
                    Value(bigEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: Value.self))
                }
                return load(0) == Self.mark ? (load(4), load(12), load(20), load(24)) : nil
            }
            guard let fields else { return nil }
            self.init(incarnation: fields.0, fields.1, fields.2, fields.3)
        case UInt8(ascii: "{"):
            let length = Self.jsonLength + 1
            let mark = Self.jsonMark.utf8CodeUnitCount
            guard message.readableBytes > length else { return nil }
            var bytes = message
            bytes.moveReaderIndex(to: message.writerIndex - length)
            guard bytes.readString(length: mark) == "\(Self.jsonMark)", let text = bytes.readSlice(length: 28),
                bytes.readString(length: 2) == "\"}", var decoded = ByteBuffer(sixBits: text),
                let fields = decoded.readMultipleIntegers(as: (UInt64, UInt64, UInt32, UInt8).self)
            else { return nil }
            self.init(incarnation: fields.0, fields.1, fields.2, fields.3)
        default:
            return nil
        }
        guard self.number > 0 else { return nil }
    }
}

extension ByteBuffer {
    /// Base 64 without padding: three bytes in four characters.
    fileprivate mutating func writeSixBits(of bytes: ByteBuffer) {
        let view = bytes.readableBytesView
        for index in stride(from: view.startIndex, to: view.endIndex - 2, by: 3) {
            let group = UInt32(view[index]) << 16 | UInt32(view[index + 1]) << 8 | UInt32(view[index + 2])
            for shift in [18, 12, 6, 0] {
                self.writeInteger(Self.character(UInt8(truncatingIfNeeded: group >> UInt32(shift)) & 63))
            }
        }
    }

    fileprivate init?(sixBits text: ByteBuffer) {
        self.init()
        var group: UInt32 = 0
        for (offset, character) in text.readableBytesView.enumerated() {
            guard let bits = Self.bits(character) else { return nil }
            group = group << 6 | UInt32(bits)
            if offset % 4 == 3 {
                self.writeMultipleIntegers(UInt16(truncatingIfNeeded: group >> 8), UInt8(truncatingIfNeeded: group))
            }
        }
    }

    private static func character(_ bits: UInt8) -> UInt8 {
        switch bits {
        case 0..<26: bits + UInt8(ascii: "A")
        case 26..<52: bits - 26 + UInt8(ascii: "a")
        case 52..<62: bits - 52 + UInt8(ascii: "0")
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
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
