/// Validates JSON text (RFC 8259) in one pass and finds where its parts are, without building values.
///
/// The bytes must be valid UTF-8; the scanner checks the grammar only. Strings may hold escaped lone surrogates, as
/// JavaScript's `JSON.parse` allows. Numbers are checked for their form, never converted.
struct JSONScanner {
    let bytes: UnsafeRawBufferPointer
    /// Containers that may be open at once.
    let maximumDepth: Int
    private(set) var position: Int = 0

    init(_ bytes: UnsafeRawBufferPointer, maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    /// A string's position in the text, with its quotes.
    struct StringToken {
        var range: Range<Int>
        /// Whether the string holds a backslash: its bytes are then not its value.
        var isEscaped: Bool

        /// The bytes between the quotes.
        var content: Range<Int> { (self.range.lowerBound + 1)..<(self.range.upperBound - 1) }
    }

    var isAtEnd: Bool { self.position == self.bytes.count }

    /// The next byte that is no white space, without taking it.
    @inline(__always)
    mutating func peek() -> UInt8? {
        while self.position < self.bytes.count {
            let byte = self.bytes[self.position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
            self.position &+= 1
        }
        return nil
    }

    @inline(__always)
    mutating func take() {
        self.position &+= 1
    }

    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard self.peek() == byte else { throw self.unexpected() }
        self.take()
    }

    func unexpected() -> JSONError {
        self.position >= self.bytes.count ? .endOfText : .unexpectedByte(offset: self.position)
    }

    /// Passes over the value that comes next and returns where it is.
    mutating func skipValue(depth: Int = 0) throws(JSONError) -> Range<Int> {
        guard let byte = self.peek() else { throw .endOfText }
        let start = self.position
        switch byte {
        case UInt8(ascii: "\""): _ = try self.scanString()
        case UInt8(ascii: "{"):
            try self.scanObject(depth: depth) { (scanner, _) throws(JSONError) in
                _ = try scanner.skipValue(depth: depth + 1)
            }
        case UInt8(ascii: "["):
            try self.scanArray(depth: depth) { (scanner) throws(JSONError) in
                _ = try scanner.skipValue(depth: depth + 1)
            }
        case UInt8(ascii: "t"): try self.skip(literal: "true")
        case UInt8(ascii: "f"): try self.skip(literal: "false")
        case UInt8(ascii: "n"): try self.skip(literal: "null")
        default: try self.skipNumber()
        }
        return start..<self.position
    }

    /// Goes through the members of the object that comes next. `member` gets the key and must take the value.
    mutating func scanObject(
        depth: Int,
        member: (inout JSONScanner, StringToken) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard depth < self.maximumDepth else { throw .tooDeep(maximum: self.maximumDepth) }
        try self.expect(UInt8(ascii: "{"))
        if self.peek() == UInt8(ascii: "}") { return self.take() }
        while true {
            guard self.peek() == UInt8(ascii: "\"") else { throw self.unexpected() }
            let key = try self.scanString()
            try self.expect(UInt8(ascii: ":"))
            try member(&self, key)
            switch self.peek() {
            case UInt8(ascii: ","): self.take()
            case UInt8(ascii: "}"): return self.take()
            default: throw self.unexpected()
            }
        }
    }

    /// Goes through the elements of the array that comes next. `element` must take the value.
    mutating func scanArray(
        depth: Int,
        element: (inout JSONScanner) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard depth < self.maximumDepth else { throw .tooDeep(maximum: self.maximumDepth) }
        try self.expect(UInt8(ascii: "["))
        if self.peek() == UInt8(ascii: "]") { return self.take() }
        while true {
            try element(&self)
            switch self.peek() {
            case UInt8(ascii: ","): self.take()
            case UInt8(ascii: "]"): return self.take()
            default: throw self.unexpected()
            }
        }
    }

    /// Passes over the string that comes next; its opening quote is at the current position.
    mutating func scanString() throws(JSONError) -> StringToken {
        let start = self.position
        var isEscaped = false
        self.position &+= 1
        while true {
            self.skipPlainText()
            guard self.position < self.bytes.count else { throw .endOfText }
            switch self.bytes[self.position] {
            case UInt8(ascii: "\""):
                self.position &+= 1
                return StringToken(range: start..<self.position, isEscaped: isEscaped)
            case UInt8(ascii: "\\"):
                isEscaped = true
                try self.skipEscape()
            default:
                // Control characters must be escaped.
                throw .unexpectedByte(offset: self.position)
            }
        }
    }

    /// Goes on to the next quote, backslash or control character, eight bytes at a time.
    private mutating func skipPlainText() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        while self.position &+ 8 <= self.bytes.count {
            let word = UInt64(littleEndian: self.bytes.loadUnaligned(fromByteOffset: self.position, as: UInt64.self))
            let quotes = word ^ (ones &* 0x22)
            let backslashes = word ^ (ones &* 0x5C)
            let found =
                ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes) | ((word &- ones &* 0x20) & ~word)
            if found & highs != 0 {
                // The first hit is none of those that a borrow makes of the bytes behind it.
                self.position &+= (found & highs).trailingZeroBitCount / 8
                return
            }
            self.position &+= 8
        }
        while self.position < self.bytes.count {
            let byte = self.bytes[self.position]
            guard byte >= 0x20, byte != 0x22, byte != 0x5C else { return }
            self.position &+= 1
        }
    }

    private mutating func skipEscape() throws(JSONError) {
        self.position &+= 1
        guard self.position < self.bytes.count else { throw .endOfText }
        switch self.bytes[self.position] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            self.position &+= 1
        case UInt8(ascii: "u"):
            self.position &+= 1
            for _ in 0..<4 {
                guard self.position < self.bytes.count else { throw .endOfText }
                guard JSONText.hexadecimalDigit(self.bytes[self.position]) != nil else {
                    throw .unexpectedByte(offset: self.position)
                }
                self.position &+= 1
            }
        default:
            throw .unexpectedByte(offset: self.position)
        }
    }

    private mutating func skip(literal: StaticString) throws(JSONError) {
        for offset in 0..<literal.utf8CodeUnitCount {
            guard self.position < self.bytes.count else { throw .endOfText }
            guard self.bytes[self.position] == literal.utf8Start[offset] else {
                throw .unexpectedByte(offset: self.position)
            }
            self.position &+= 1
        }
    }

    private mutating func skipNumber() throws(JSONError) {
        if self.current == UInt8(ascii: "-") { self.position &+= 1 }
        if self.current == UInt8(ascii: "0") {
            self.position &+= 1
        } else {
            try self.skipDigits()
        }
        if self.current == UInt8(ascii: ".") {
            self.position &+= 1
            try self.skipDigits()
        }
        if self.current == UInt8(ascii: "e") || self.current == UInt8(ascii: "E") {
            self.position &+= 1
            if self.current == UInt8(ascii: "+") || self.current == UInt8(ascii: "-") { self.position &+= 1 }
            try self.skipDigits()
        }
    }

    @inline(__always)
    private var current: UInt8? {
        self.position < self.bytes.count ? self.bytes[self.position] : nil
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = self.position
        while let byte = self.current, byte >= 0x30, byte <= 0x39 { self.position &+= 1 }
        if self.position == start { throw self.unexpected() }
    }
}

/// Why a text is not accepted as JSON.
public enum JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text ends inside a value, or is empty.
    case endOfText
    /// The byte at the offset cannot stand there.
    case unexpectedByte(offset: Int)
    /// More than `maximum` objects and arrays are open at once.
    case tooDeep(maximum: Int)

    public var description: String {
        switch self {
        case .endOfText: "the JSON text ends too early"
        case .unexpectedByte(let offset): "unexpected byte at offset \(offset) of the JSON text"
        case .tooDeep(let maximum): "the JSON text is nested more than \(maximum) deep"
        }
    }
}
