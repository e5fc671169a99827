/// Validates UTF-8 (RFC 3629) in pieces, and notices the first byte that cannot continue valid text.
struct UTF8Validator {
    /// Continuation bytes that the current character still needs.
    private var needed: UInt8 = 0
    /// The range of the next continuation byte: narrower than 80...BF after E0, ED, F0 and F4.
    private var lower: UInt8 = 0x80
    private var upper: UInt8 = 0xBF

    init() {}

    /// Whether the text so far ends with a whole character.
    var isComplete: Bool { self.needed == 0 }

    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var validator = UTF8Validator()
        return validator.consume(bytes) && validator.isComplete
    }

    /// - Returns: false when the text cannot become valid any more. Must not be called again then.
    mutating func consume(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let count = bytes.count
        var index = 0
        while index < count {
            if self.needed == 0 {
                index = Self.skipASCII(bytes, from: index)
                guard index < count else { return true }
                guard self.begin(bytes[index]) else { return false }
            } else {
                let byte = bytes[index]
                guard byte >= self.lower, byte <= self.upper else { return false }
                self.needed &-= 1
                self.lower = 0x80
                self.upper = 0xBF
            }
            index &+= 1
        }
        return true
    }

    private static func skipASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        let count = bytes.count
        let highBits: UInt64 = 0x8080_8080_8080_8080
        var index = start
        while index &+ 16 <= count {
            let first = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let second = bytes.loadUnaligned(fromByteOffset: index &+ 8, as: UInt64.self)
            guard (first | second) & highBits == 0 else { break }
            index &+= 16
        }
        if count &- index < 16, count >= 16 {
            // The last sixteen, some of which were seen before.
            let first = bytes.loadUnaligned(fromByteOffset: count &- 16, as: UInt64.self)
            let second = bytes.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            if (first | second) & highBits == 0 { return count }
        }
        while index < count, bytes[index] < 0x80 {
            index &+= 1
        }
        return index
    }

    /// Takes the first byte of a character that is not ASCII.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case 0xC2...0xDF:
            self.needed = 1
        case 0xE0:
            self.needed = 2
            self.lower = 0xA0
        case 0xE1...0xEC, 0xEE...0xEF:
            self.needed = 2
        case 0xED:
            self.needed = 2
            self.upper = 0x9F
        case 0xF0:
            self.needed = 3
            self.lower = 0x90
        case 0xF1...0xF3:
            self.needed = 3
        case 0xF4:
            self.needed = 3
            self.upper = 0x8F
        default:
            return false
        }
        return true
    }
}
