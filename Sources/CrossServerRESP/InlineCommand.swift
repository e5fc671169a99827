import NIOCore

/// A command as a person types it: words, with quotes as in a shell where a word needs them.
enum InlineCommand {
    /// - Parameter line: with its end.
    static func arguments(of line: ByteBuffer) throws(RESPError) -> [ByteBuffer] {
        var bytes = line.readableBytesView[...]
        if bytes.last == .lineFeed { bytes.removeLast() }
        if bytes.last == .carriageReturn { bytes.removeLast() }
        var arguments: [ByteBuffer] = []
        while true {
            bytes = bytes.drop(while: \.isSpace)
            guard !bytes.isEmpty else { return arguments }
            arguments.append(try self.takeArgument(from: &bytes))
        }
    }

    private static func takeArgument(from bytes: inout ByteBufferView.SubSequence) throws(RESPError) -> ByteBuffer {
        var argument = ByteBuffer()
        while let byte = bytes.first, !byte.isSpace {
            bytes.removeFirst()
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                try self.takeQuoted(byte, from: &bytes, into: &argument)
                // Nothing but the next word may follow.
                guard bytes.first.map(\.isSpace) ?? true else { throw Self.unbalanced }
                return argument
            default: argument.writeInteger(byte)
            }
        }
        return argument
    }

    private static let unbalanced = RESPError.invalid("unbalanced quotes in request")

    private static func takeQuoted(
        _ quote: UInt8,
        from bytes: inout ByteBufferView.SubSequence,
        into argument: inout ByteBuffer
    ) throws(RESPError) {
        while let byte = bytes.popFirst() {
            if byte == quote { return }
            guard byte == UInt8(ascii: "\\"), let next = bytes.first else {
                argument.writeInteger(byte)
                continue
            }
            if quote == UInt8(ascii: "'") {
                // Only the quote itself can be escaped.
                argument.writeInteger(next == quote ? bytes.removeFirst() : byte)
            } else {
                bytes.removeFirst()
                argument.writeInteger(self.unescaped(next, &bytes))
            }
        }
        throw self.unbalanced
    }

    private static func unescaped(_ byte: UInt8, _ bytes: inout ByteBufferView.SubSequence) -> UInt8 {
        switch byte {
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "a"): return 0x07
        case UInt8(ascii: "x"):
            let digits = bytes.prefix(2).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            guard digits.count == 2 else { return byte }
            bytes.removeFirst(2)
            return UInt8(digits[0] * 16 + digits[1])
        default: return byte
        }
    }
}

extension UInt8 {
    /// White space of C's `isspace`.
    var isSpace: Bool { self == 0x20 || (0x09...0x0D).contains(self) }
}
