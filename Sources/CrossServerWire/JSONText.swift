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
        String(unsafeUninitializedCapacity: content.count) { output in
            self.unescape(content, into: UnsafeMutableRawBufferPointer(output)).count
        }
    }

    /// Writes the value of a string whose content (without quotes) the scanner has accepted. An escaped lone surrogate
    /// becomes U+FFFD.
    ///
    /// - Parameter output: at least as many bytes as the content.
    /// - Returns: how many bytes were written, and whether every surrogate had its other half.
    static func unescape(
        _ content: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (count: Int, isWellFormed: Bool) {
        var isWellFormed = true
        var position = 0
        var count = 0
        while position < content.count {
            let byte = content[position]
            position &+= 1
            guard byte == UInt8(ascii: "\\"), position < content.count else {
                output[count] = byte
                count &+= 1
                continue
            }
            let escape = content[position]
            position &+= 1
            guard escape == UInt8(ascii: "u") else {
                output[count] = Self.value(ofEscape: escape)
                count &+= 1
                continue
            }
            var scalar = Self.unit(in: content, at: position)
            position &+= 4
            if scalar & 0xFC00 == 0xD800, position &+ 6 <= content.count,
                content[position] == UInt8(ascii: "\\"), content[position &+ 1] == UInt8(ascii: "u"),
                case let low = Self.unit(in: content, at: position &+ 2), low & 0xFC00 == 0xDC00
            {
                scalar = 0x10000 + (scalar & 0x3FF) << 10 + (low & 0x3FF)
                position &+= 6
            }
            let character = Unicode.Scalar(scalar)
            if character == nil { isWellFormed = false }
            for unit in UTF8.encode(character ?? "\u{FFFD}") ?? UTF8.encodedReplacementCharacter {
                output[count] = unit
                count &+= 1
            }
        }
        return (count, isWellFormed)
    }

    /// The value of a string whose content (without quotes) the scanner has accepted, with its lone surrogates.
    static func unescapedUnits(_ content: UnsafeRawBufferPointer) -> [UInt16] {
        var units: [UInt16] = []
        var rest = content[...]
        while let backslash = rest.firstIndex(of: UInt8(ascii: "\\")), backslash + 1 < rest.endIndex {
            units += String(decoding: rest[..<backslash], as: UTF8.self).utf16
            let escape = content[backslash + 1]
            if escape == UInt8(ascii: "u") {
                units.append(UInt16(truncatingIfNeeded: Self.unit(in: content, at: backslash + 2)))
                rest = rest[min(backslash + 6, rest.endIndex)...]
            } else {
                units.append(UInt16(Self.value(ofEscape: escape)))
                rest = rest[(backslash + 2)...]
            }
        }
        return units + String(decoding: rest, as: UTF8.self).utf16
    }

    private static func value(ofEscape byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: byte
        }
    }

    private static func unit(in content: UnsafeRawBufferPointer, at position: Int) -> UInt32 {
        var unit: UInt32 = 0
        for index in position..<min(position &+ 4, content.count) {
            unit = unit << 4 | (Self.hexadecimalDigit(content[index]) ?? 0)
        }
        return unit
    }

    /// The first byte from the offset on that is a quote, a backslash, a control character or not ASCII; or the end.
    static func plainASCIIEnd(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var index = offset
        while index &+ 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let quotes = word ^ (ones &* 0x22)
            let backslashes = word ^ (ones &* 0x5C)
            if (word | (quotes &- ones) | (backslashes &- ones) | (word &- ones &* 0x20)) & highs != 0 { break }
            index &+= 8
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5C { break }
            index &+= 1
        }
        return index
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
        self.writeOutput(estimate: string.utf8.count + 2) { $0.writeJSONString(string) }
    }

    /// Writes the value of a string whose content (without quotes) the scanner has accepted. An escaped lone surrogate
    /// becomes U+FFFD.
    mutating func writeUnescapedJSON(_ content: UnsafeRawBufferPointer) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: content.count) { output in
            JSONText.unescape(content, into: output).count
        }
    }
}

extension OutputBytes {
    /// Writes a JSON string with its quotes.
    mutating func writeJSONString(_ string: String) {
        var string = string
        string.withUTF8 { self.writeJSONString(utf8: UnsafeRawBufferPointer($0)) }
    }

    /// Writes a JSON string with its quotes; U+FFFD in place of what is not UTF-8.
    mutating func writeJSONString(utf8 bytes: UnsafeRawBufferPointer) {
        self.write(UInt8(ascii: "\""))
        var plainStart = 0
        var index = 0
        while true {
            index = JSONText.plainASCIIEnd(bytes, from: index)
            guard index < bytes.count else { break }
            let byte = bytes[index]
            let sequence = UTF8Text.sequence(in: bytes, at: index)
            if byte < 0x80 || !sequence.isValid {
                self.write(UnsafeRawBufferPointer(rebasing: bytes[plainStart..<index]))
                if byte < 0x80 { self.writeJSONEscape(of: byte) } else { self.write("\u{FFFD}") }
                plainStart = index &+ sequence.length
            }
            index &+= sequence.length
        }
        self.write(UnsafeRawBufferPointer(rebasing: bytes[plainStart...]))
        self.write(UInt8(ascii: "\""))
    }

    private mutating func writeJSONEscape(of byte: UInt8) {
        switch byte {
        case 0x08: self.write("\\b")
        case 0x09: self.write("\\t")
        case 0x0A: self.write("\\n")
        case 0x0C: self.write("\\f")
        case 0x0D: self.write("\\r")
        case 0x22: self.write("\\\"")
        case 0x5C: self.write("\\\\")
        default:
            let digits: StaticString = "0123456789abcdef"
            self.write("\\u00")
            self.write(digits.utf8Start[Int(byte >> 4)])
            self.write(digits.utf8Start[Int(byte & 0x0F)])
        }
    }
}
