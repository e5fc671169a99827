import NIOCore

/// Reading and writing JSON strings, as JavaScript's `JSON.stringify` writes them.
enum JSONText {
    /// The deepest nesting that is accepted. JSONDecoder has the same bound.
    static let maximumDepth = 512

    static func hexadecimalDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x30...0x39: UInt32(byte &- 0x30)
        case 0x41...0x46: UInt32(byte &- 0x41 &+ 10)
        case 0x61...0x66: UInt32(byte &- 0x61 &+ 10)
        default: nil
        }
    }

    /// The value of a string whose content (without quotes) the scanner has accepted.
    ///
    /// An escaped lone surrogate becomes U+FFFD: Swift strings cannot hold it.
    static func unescape(_ content: UnsafeRawBufferPointer) -> String {
        var units: [UInt16] = []
        units.reserveCapacity(content.count)
        var plainStart = 0
        var position = 0
        func appendPlain(upTo end: Int) {
            guard plainStart < end else { return }
            units.append(contentsOf: String(decoding: content[plainStart..<end], as: UTF8.self).utf16)
        }
        while position < content.count {
            guard content[position] == UInt8(ascii: "\\"), position + 1 < content.count else {
                position += 1
                continue
            }
            appendPlain(upTo: position)
            switch content[position + 1] {
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "u"):
                let digits = content[min(position + 2, content.count)..<min(position + 6, content.count)]
                units.append(UInt16(truncatingIfNeeded: digits.reduce(0) { $0 << 4 | (hexadecimalDigit($1) ?? 0) }))
                position += 4
            case let other: units.append(UInt16(other))
            }
            position += 2
            plainStart = position
        }
        appendPlain(upTo: content.count)
        return String(decoding: units, as: UTF16.self)
    }

    /// The length in UTF-16 code units of a string whose content the scanner has accepted.
    static func utf16Count(_ content: UnsafeRawBufferPointer) -> Int {
        var count = 0
        var position = 0
        while position < content.count {
            let byte = content[position]
            if byte == UInt8(ascii: "\\") {
                let isUnicode = position + 1 < content.count && content[position + 1] == UInt8(ascii: "u")
                position += isUnicode ? 6 : 2
                count += 1
            } else {
                // A lead byte of four bytes stands for two units, continuation bytes for none.
                count += byte & 0xC0 == 0x80 ? 0 : byte >= 0xF0 ? 2 : 1
                position += 1
            }
        }
        return count
    }
}

extension ByteBuffer {
    /// Writes a JSON string with its quotes.
    mutating func writeJSONString(_ string: String) {
        var string = string
        string.withUTF8 { utf8 in
            self.writeInteger(UInt8(ascii: "\""))
            var plainStart = 0
            for (index, byte) in utf8.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
                self.writeBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(utf8)[plainStart..<index]))
                self.writeJSONEscape(of: byte)
                plainStart = index + 1
            }
            self.writeBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(utf8)[plainStart...]))
            self.writeInteger(UInt8(ascii: "\""))
        }
    }

    private mutating func writeJSONEscape(of byte: UInt8) {
        switch byte {
        case 0x08: self.writeStaticString("\\b")
        case 0x09: self.writeStaticString("\\t")
        case 0x0A: self.writeStaticString("\\n")
        case 0x0C: self.writeStaticString("\\f")
        case 0x0D: self.writeStaticString("\\r")
        case 0x22: self.writeStaticString("\\\"")
        case 0x5C: self.writeStaticString("\\\\")
        default:
            let digits: StaticString = "0123456789abcdef"
            self.writeStaticString("\\u00")
            self.writeInteger(digits.utf8Start[Int(byte >> 4)])
            self.writeInteger(digits.utf8Start[Int(byte & 0x0F)])
        }
    }
}
