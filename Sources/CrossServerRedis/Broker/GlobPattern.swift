import NIOCore

/// Matches names with patterns as Redis does: `*`, `?`, `[abc]`, `[^a-c]` and `\` before a character that is meant.
///
/// Takes at most as many steps as the product of the lengths.
enum GlobPattern {
    static func matches(_ pattern: ByteBuffer, _ text: ByteBuffer) -> Bool {
        pattern.withUnsafeReadableBytes { pattern in
            text.withUnsafeReadableBytes { text in self.matches(pattern, text) }
        }
    }

    private static func matches(_ pattern: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer) -> Bool {
        var patternIndex = 0
        var textIndex = 0
        // Where to go on when the text does not match: behind the last star, which takes one byte more.
        var retry: (pattern: Int, text: Int)?
        while textIndex < text.count {
            if patternIndex < pattern.count {
                if pattern[patternIndex] == UInt8(ascii: "*") {
                    patternIndex += 1
                    retry = (patternIndex, textIndex)
                    continue
                }
                if let next = self.matchOne(pattern, patternIndex, text[textIndex]) {
                    patternIndex = next
                    textIndex += 1
                    continue
                }
            }
            guard let (afterStar, taken) = retry else { return false }
            patternIndex = afterStar
            textIndex = taken + 1
            retry = (afterStar, taken + 1)
        }
        return pattern[patternIndex...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    /// - Returns: the index of the pattern's next element when the one at the index takes the byte.
    private static func matchOne(_ pattern: UnsafeRawBufferPointer, _ index: Int, _ byte: UInt8) -> Int? {
        switch pattern[index] {
        case UInt8(ascii: "?"): return index + 1
        case UInt8(ascii: "["): return self.matchClass(pattern, index + 1, byte)
        case UInt8(ascii: "\\") where index + 1 < pattern.count: return pattern[index + 1] == byte ? index + 2 : nil
        case let literal: return literal == byte ? index + 1 : nil
        }
    }

    /// A class without its end reaches to the end of the pattern.
    private static func matchClass(_ pattern: UnsafeRawBufferPointer, _ start: Int, _ byte: UInt8) -> Int? {
        var index = start
        let isNegated = index < pattern.count && pattern[index] == UInt8(ascii: "^")
        if isNegated { index += 1 }
        var isMember = false
        while index < pattern.count, pattern[index] != UInt8(ascii: "]") {
            if pattern[index] == UInt8(ascii: "\\"), index + 1 < pattern.count {
                isMember = isMember || pattern[index + 1] == byte
                index += 2
            } else if index + 2 < pattern.count, pattern[index + 1] == UInt8(ascii: "-") {
                let (first, last) = (pattern[index], pattern[index + 2])
                isMember = isMember || (min(first, last)...max(first, last)).contains(byte)
                index += 3
            } else {
                isMember = isMember || pattern[index] == byte
                index += 1
            }
        }
        return isMember != isNegated ? min(index + 1, pattern.count) : nil
    }
}
