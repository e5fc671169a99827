import NIOCore

extension Payload: Equatable {
    /// Whether both hold the same JSON value: the order of an object's members, white space, and how strings and numbers are
    /// written do not matter. Numbers are compared digit by digit, without rounding; of a repeated key the last counts.
    public static func == (left: Payload, right: Payload) -> Bool {
        if left.buffer == right.buffer { return true }
        if left.isAbsent || right.isAbsent { return false }
        return left.value == right.value
    }

    private var value: JSONValue {
        do {
            return try Self.scan(self.buffer) { (scanner) throws(JSONError) in try scanner.value(depth: 0) }
        } catch {
            assertionFailure("a payload holds valid JSON: \(error)")
            return .literal(0)
        }
    }
}

/// A JSON value, to be compared. Not deeper than the scanner allows.
private indirect enum JSONValue: Equatable {
    /// `true`, `false` or `null`, by its first byte.
    case literal(UInt8)
    case number(Number)
    /// In UTF-16, since text in escapes need not be Unicode, and Swift's strings are equal when they look the same.
    case string([UInt16])
    case array([JSONValue])
    case object([[UInt16]: JSONValue])

    /// ± 0.digits × 10^exponent, without zeros at either end of the digits.
    struct Number: Equatable {
        var isNegative = false
        var digits: [UInt8] = []
        var exponent = 0
        /// The exponent as it is written, when it is too long to be counted with.
        var longExponent: [UInt8] = []

        /// - Parameter text: a number that the scanner has accepted.
        init(_ text: Slice<UnsafeRawBufferPointer>) {
            let parts = text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 | 0x20 == UInt8(ascii: "e") }
            var hasPoint = false
            for byte in parts[0] {
                switch byte {
                case UInt8(ascii: "-"): self.isNegative = true
                case UInt8(ascii: "."): hasPoint = true
                case UInt8(ascii: "0") where self.digits.isEmpty:
                    if hasPoint { self.exponent -= 1 }
                default:
                    self.digits.append(byte)
                    if !hasPoint { self.exponent += 1 }
                }
            }
            while self.digits.last == UInt8(ascii: "0") { self.digits.removeLast() }
            if self.digits.isEmpty {
                self.isNegative = false
                self.exponent = 0
            } else if parts.count == 2 {
                self.add(exponent: parts[1])
            }
        }

        private mutating func add(exponent text: Slice<UnsafeRawBufferPointer>) {
            let isNegative = text.first == UInt8(ascii: "-")
            let digits = text.drop { $0 < 0x31 || $0 > 0x39 }
            guard digits.count <= 15 else {
                self.longExponent = (isNegative ? [UInt8(ascii: "-")] : []) + digits
                return
            }
            let magnitude = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
            self.exponent += isNegative ? -magnitude : magnitude
        }
    }
}

extension JSONScanner {
    fileprivate mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard let byte = self.peek() else { throw .endOfText }
        switch byte {
        case UInt8(ascii: "\""):
            return .string(self.units(try self.scanString()))
        case UInt8(ascii: "{"):
            var members: [[UInt16]: JSONValue] = [:]
            try self.scanObject(depth: depth) { (scanner, key) throws(JSONError) in
                members[scanner.units(key)] = try scanner.value(depth: depth + 1)
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try self.scanArray(depth: depth) { (scanner) throws(JSONError) in
                elements.append(try scanner.value(depth: depth + 1))
            }
            return .array(elements)
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
            _ = try self.skipValue(depth: depth)
            return .literal(byte)
        default:
            return .number(JSONValue.Number(self.bytes[try self.skipValue(depth: depth)]))
        }
    }

    private func units(_ token: StringToken) -> [UInt16] {
        let content = UnsafeRawBufferPointer(rebasing: self.bytes[token.content])
        return token.isEscaped
            ? JSONText.unescapedUnits(content) : Array(String(decoding: content, as: UTF8.self).utf16)
    }
}
