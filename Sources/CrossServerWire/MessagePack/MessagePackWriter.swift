import NIOCore

/// Writing MessagePack, every head as short as it can be.
extension OutputBytes {
    mutating func writeMessagePackNull() {
        self.write(0xC0 as UInt8)
    }

    mutating func writeMessagePack(_ boolean: Bool) {
        self.write(boolean ? 0xC3 : 0xC2 as UInt8)
    }

    mutating func writeMessagePack(_ integer: Int64) {
        switch integer {
        case 0...: self.writeMessagePack(UInt64(integer))
        case -0x20..<0: self.write(integer: Int8(truncatingIfNeeded: integer))
        case -0x80..<0: self.write(0xD0, integer: Int8(truncatingIfNeeded: integer))
        case -0x8000..<0: self.write(0xD1, integer: Int16(truncatingIfNeeded: integer))
        case -0x8000_0000..<0: self.write(0xD2, integer: Int32(truncatingIfNeeded: integer))
        default: self.write(0xD3, integer: integer)
        }
    }

    mutating func writeMessagePack(_ integer: UInt64) {
        switch integer {
        case 0..<0x80: self.write(UInt8(truncatingIfNeeded: integer))
        case 0x80...0xFF: self.write(0xCC, integer: UInt8(truncatingIfNeeded: integer))
        case 0x100...0xFFFF: self.write(0xCD, integer: UInt16(truncatingIfNeeded: integer))
        case 0x1_0000...0xFFFF_FFFF: self.write(0xCE, integer: UInt32(truncatingIfNeeded: integer))
        default: self.write(0xCF, integer: integer)
        }
    }

    mutating func writeMessagePack(_ double: Double) {
        self.write(0xCB, integer: double.bitPattern)
    }

    mutating func writeMessagePack(_ float: Float) {
        self.write(0xCA, integer: float.bitPattern)
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
        self.write(bytes)
    }

    // Nothing in a ByteBuffer is longer than UInt32.max, so that the lengths below always fit.

    mutating func writeMessagePackStringHead(_ length: Int) {
        switch length {
        case 0..<0x20: self.write(0xA0 | UInt8(truncatingIfNeeded: length))
        case 0x20...0xFF: self.write(0xD9, integer: UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.write(0xDA, integer: UInt16(truncatingIfNeeded: length))
        default: self.write(0xDB, integer: UInt32(truncatingIfNeeded: length))
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
        case 0...0xFF: self.write(0xC4, integer: UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.write(0xC5, integer: UInt16(truncatingIfNeeded: length))
        default: self.write(0xC6, integer: UInt32(truncatingIfNeeded: length))
        }
        self.write(binary)
    }

    mutating func writeMessagePackArrayHead(_ count: Int) {
        switch count {
        case 0..<0x10: self.write(0x90 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xFFFF: self.write(0xDC, integer: UInt16(truncatingIfNeeded: count))
        default: self.write(0xDD, integer: UInt32(truncatingIfNeeded: count))
        }
    }

    mutating func writeMessagePackMapHead(_ count: Int) {
        switch count {
        case 0..<0x10: self.write(0x80 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xFFFF: self.write(0xDE, integer: UInt16(truncatingIfNeeded: count))
        default: self.write(0xDF, integer: UInt32(truncatingIfNeeded: count))
        }
    }

    mutating func writeMessagePack(ext type: Int8, _ data: ByteBuffer) {
        let length = data.readableBytes
        switch length {
        case 1, 2, 4, 8, 16:
            self.write(0xD4 + UInt8(truncatingIfNeeded: length.trailingZeroBitCount))
        case 0...0xFF: self.write(0xC7, integer: UInt8(truncatingIfNeeded: length))
        case 0x100...0xFFFF: self.write(0xC8, integer: UInt16(truncatingIfNeeded: length))
        default: self.write(0xC9, integer: UInt32(truncatingIfNeeded: length))
        }
        self.write(integer: type)
        self.write(data)
    }

    /// Writes the first byte of a head, and the integer behind it.
    @inline(__always)
    private mutating func write<Integer: FixedWidthInteger>(_ type: UInt8, integer: Integer) {
        self.write(type)
        self.write(integer: integer)
    }
}
