import NIOCore

/// Writing MessagePack, every head as short as it can be.
extension ByteBuffer {
    mutating func writeMessagePackNull() {
        self.writeInteger(0xC0 as UInt8)
    }

    mutating func writeMessagePack(_ boolean: Bool) {
        self.writeInteger(boolean ? 0xC3 : 0xC2 as UInt8)
    }

    mutating func writeMessagePack(_ integer: Int64) {
        switch integer {
        case 0...: self.writeMessagePack(UInt64(integer))
        case -0x20..<0: self.writeInteger(Int8(truncatingIfNeeded: integer))
        case -0x80..<0: self.writeMultipleIntegers(0xD0 as UInt8, Int8(truncatingIfNeeded: integer))
        case -0x8000..<0: self.writeMultipleIntegers(0xD1 as UInt8, Int16(truncatingIfNeeded: integer))
        case -0x8000_0000..<0: self.writeMultipleIntegers(0xD2 as UInt8, Int32(truncatingIfNeeded: integer))
        default: self.writeMultipleIntegers(0xD3 as UInt8, integer)
        }
    }

    mutating func writeMessagePack(_ integer: UInt64) {
        switch integer {
        case 0..<0x80: self.writeInteger(UInt8(truncatingIfNeeded: integer))
        case 0x80...0xFF: self.writeMultipleIntegers(0xCC as UInt8, UInt8(truncatingIfNeeded: integer))
        case 0x100...0xFFFF: self.writeMultipleIntegers(0xCD as UInt8, UInt16(truncatingIfNeeded: integer))
        case 0x1_0000...0xFFFF_FFFF: self.writeMultipleIntegers(0xCE as UInt8, UInt32(truncatingIfNeeded: integer))
        default: self.writeMultipleIntegers(0xCF as UInt8, integer)
        }
    }

    mutating func writeMessagePack(_ double: Double) {
        self.writeMultipleIntegers(0xCB as UInt8, double.bitPattern)
    }

    mutating func writeMessagePack(_ float: Float) {
        self.writeMultipleIntegers(0xCA as UInt8, float.bitPattern)
    }

    mutating func writeMessagePack(_ string: String) {
        var string = string
        string.withUTF8 { self.writeMessagePack(utf8: UnsafeRawBufferPointer($0)) }
    }

    mutating func writeMessagePack(_ name: StaticString) {
        name.withUTF8Buffer { self.writeMessagePack(utf8: UnsafeRawBufferPointer($0)) }
    }

    mutating func writeMessagePack(utf8 bytes: UnsafeRawBufferPointer) {
        self.writeMessagePackStringHead(bytes.count)
        self.writeBytes(bytes)
    }

    // Nothing in a ByteBuffer is longer than UInt32.max, so that the lengths below always fit.

    mutating func writeMessagePackStringHead(_ length: Int) {
        switch length {
        case 0..<0x20: self.writeInteger(0xA0 | UInt8(truncatingIfNeeded: length))
        case 0x20...0xFF: self.writeMultipleIntegers(0xD9 as UInt8, UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.writeMultipleIntegers(0xDA as UInt8, UInt16(truncatingIfNeeded: length))
        default: self.writeMultipleIntegers(0xDB as UInt8, UInt32(truncatingIfNeeded: length))
        }
    }

    static func messagePackStringHeadSize(_ length: Int) -> Int {
        switch length {
        case 0..<0x20: 1
        case 0x20...0xFF: 2
        case 0x100...0xFFFF: 3
        default: 5
        }
    }

    mutating func writeMessagePack(binary: ByteBuffer) {
        let length = binary.readableBytes
        switch length {
        case 0...0xFF: self.writeMultipleIntegers(0xC4 as UInt8, UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.writeMultipleIntegers(0xC5 as UInt8, UInt16(truncatingIfNeeded: length))
        default: self.writeMultipleIntegers(0xC6 as UInt8, UInt32(truncatingIfNeeded: length))
        }
        self.writeImmutableBuffer(binary)
    }

    mutating func writeMessagePackArrayHead(_ count: Int) {
        switch count {
        case 0..<0x10: self.writeInteger(0x90 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xFFFF: self.writeMultipleIntegers(0xDC as UInt8, UInt16(truncatingIfNeeded: count))
        default: self.writeMultipleIntegers(0xDD as UInt8, UInt32(truncatingIfNeeded: count))
        }
    }

    mutating func writeMessagePackMapHead(_ count: Int) {
        switch count {
        case 0..<0x10: self.writeInteger(0x80 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xFFFF: self.writeMultipleIntegers(0xDE as UInt8, UInt16(truncatingIfNeeded: count))
        default: self.writeMultipleIntegers(0xDF as UInt8, UInt32(truncatingIfNeeded: count))
        }
    }

    mutating func writeMessagePack(ext type: Int8, _ data: ByteBuffer) {
        let length = data.readableBytes
        switch length {
        case 1, 2, 4, 8, 16:
            self.writeInteger(0xD4 + UInt8(truncatingIfNeeded: length.trailingZeroBitCount))
        case 0...0xFF: self.writeMultipleIntegers(0xC7 as UInt8, UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.writeMultipleIntegers(0xC8 as UInt8, UInt16(truncatingIfNeeded: length))
        default: self.writeMultipleIntegers(0xC9 as UInt8, UInt32(truncatingIfNeeded: length))
        }
        self.writeInteger(type)
        self.writeImmutableBuffer(data)
    }
}
