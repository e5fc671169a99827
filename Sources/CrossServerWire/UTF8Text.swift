/// Well-formed UTF-8 (Unicode 16, table 3-7).
enum UTF8Text {
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            if index &+ 8 <= bytes.count,
                bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                index &+= 8
            } else {
                let sequence = Self.sequence(in: bytes, at: index)
                guard sequence.isValid else { return false }
                index &+= sequence.length
            }
        }
        return true
    }

    /// The character at the offset, or as many bytes as one replacement character stands for.
    static func sequence(in bytes: UnsafeRawBufferPointer, at offset: Int) -> (length: Int, isValid: Bool) {
        let lead = bytes[offset]
        var second: ClosedRange<UInt8> = 0x80...0xBF
        let length: Int
        switch lead {
        case 0x00...0x7F: return (1, true)
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        case 0xF1...0xF3: length = 4
        default: return (1, false)
        }
        for index in 1..<length {
            guard offset &+ index < bytes.count else { return (index, false) }
            let byte = bytes[offset &+ index]
            guard index == 1 ? second.contains(byte) : byte & 0xC0 == 0x80 else { return (index, false) }
        }
        return (length, true)
    }
}
