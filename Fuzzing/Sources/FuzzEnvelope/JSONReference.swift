/// The grammar of RFC 8259, as plainly as it can be written, to compare the scanner with.
struct JSONReference {
    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var startsWithBrace: Bool {
        self.bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: "{")
    }

    mutating func isText() -> Bool {
        self.index = 0
        guard self.value(depth: 0) else { return false }
        self.space()
        return self.index == self.bytes.count
    }

    private var next: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func take(_ text: StaticString) -> Bool {
        let isThere = text.withUTF8Buffer { self.bytes[self.index...].starts(with: $0) }
        if isThere { self.index += text.utf8CodeUnitCount }
        return isThere
    }

    private mutating func space() {
        while let byte = self.next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { self.index += 1 }
    }

    /// - Parameter depth: of the containers around the value, at most 512 with its own.
    private mutating func value(depth: Int) -> Bool {
        self.space()
        switch self.next {
        case UInt8(ascii: "{"): return depth < 512 && self.members("{", "}", depth: depth, areNamed: true)
        case UInt8(ascii: "["): return depth < 512 && self.members("[", "]", depth: depth, areNamed: false)
        case UInt8(ascii: "\""): return self.string()
        case UInt8(ascii: "t"): return self.take("true")
        case UInt8(ascii: "f"): return self.take("false")
        case UInt8(ascii: "n"): return self.take("null")
        default: return self.number()
        }
    }

    private mutating func members(_ open: StaticString, _ close: StaticString, depth: Int, areNamed: Bool) -> Bool {
        guard self.take(open) else { return false }
        self.space()
        if self.take(close) { return true }
        while true {
            if areNamed {
                self.space()
                guard self.string() else { return false }
                self.space()
                guard self.take(":") else { return false }
            }
            guard self.value(depth: depth + 1) else { return false }
            self.space()
            if self.take(close) { return true }
            guard self.take(",") else { return false }
        }
    }

    private mutating func string() -> Bool {
        guard self.take("\"") else { return false }
        while let byte = self.next {
            self.index += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case ..<0x20: return false
            case UInt8(ascii: "\\"): guard self.escape() else { return false }
            default: break
            }
        }
        return false
    }

    private mutating func escape() -> Bool {
        guard let byte = self.next else { return false }
        self.index += 1
        guard byte == UInt8(ascii: "u") else { return "\"\\/bfnrt".utf8.contains(byte) }
        for _ in 0..<4 {
            guard let digit = self.next, "0123456789abcdefABCDEF".utf8.contains(digit) else { return false }
            self.index += 1
        }
        return true
    }

    private mutating func number() -> Bool {
        _ = self.take("-")
        if !self.take("0") { guard self.digits() else { return false } }
        if self.take("."), !self.digits() { return false }
        if self.take("e") || self.take("E") {
            if !self.take("+") { _ = self.take("-") }
            return self.digits()
        }
        return true
    }

    private mutating func digits() -> Bool {
        let start = self.index
        while let byte = self.next, (0x30...0x39).contains(byte) { self.index += 1 }
        return self.index > start
    }
}
