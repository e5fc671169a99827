/// The value of a JSON number: an integer when it is one and fits 64 bits, however it is written (`1`, `1.0`, `1e2`), as
/// in JavaScript; else a double.
enum JSONNumber: Equatable {
    case integer(Int64)
    /// Only what does not fit `Int64`.
    case unsigned(UInt64)
    case double(Double)

    /// - Parameter text: a number that the scanner has accepted.
    /// - Returns: nil for what would become another number: one beyond the doubles, and an integer beyond 64 bits that
    ///   a double does not hold. (One beyond 128 bits must be written in the digits that the double needs and zeros.)
    init?(_ text: UnsafeRawBufferPointer) {
        let parts = Parts(text)
        if parts.isInteger {
            if let mantissa = parts.mantissa, let number = Self(mantissa, isNegative: parts.isNegative) {
                self = number
                return
            }
            guard let double = Self.double(text), double.isFinite, Self.holds(double, parts.digits(of: text)) else {
                return nil
            }
            self = .double(double)
            return
        }
        guard let double = parts.exactDouble ?? Self.double(text), double.isFinite else { return nil }
        // Too small for a double.
        if double == 0, parts.mantissa != 0 { return nil }
        self =
            Int64(exactly: double).map { .integer($0) } ?? UInt64(exactly: double).map { .unsigned($0) }
            ?? .double(double)
    }

    private init?(_ magnitude: UInt64, isNegative: Bool) {
        if let value = Int64(exactly: magnitude) {
            self = .integer(isNegative ? -value : value)
        } else if !isNegative {
            self = .unsigned(magnitude)
        } else if magnitude == Int64.min.magnitude {
            self = .integer(.min)
        } else {
            return nil
        }
    }

    private static func double(_ text: UnsafeRawBufferPointer) -> Double? {
        Double(String(decoding: text, as: UTF8.self))
    }

    /// Whether the digits of an integer say exactly what the double holds, or are those that stand for the double, as
    /// JavaScript writes them: 18446744073709552000 for 2^64.
    private static func holds(_ double: Double, _ digits: UnsafeRawBufferPointer) -> Bool {
        if let integer = UInt128(String(decoding: digits, as: UTF8.self)), UInt128(exactly: double.magnitude) == integer
        {
            return true
        }
        let zeros = digits.reversed().prefix { $0 == UInt8(ascii: "0") }.count
        let shortest = double.magnitude.description.utf8.prefix { $0 != UInt8(ascii: "e") }
            .filter { $0 != UInt8(ascii: ".") }
        let padding = shortest.reversed().prefix { $0 == UInt8(ascii: "0") }.count
        return digits.dropLast(zeros).elementsEqual(shortest.dropLast(padding))
    }

    /// What the text says, digit by digit.
    private struct Parts {
        var isNegative = false
        var isInteger = true
        /// All digits before the exponent; nil when they do not fit.
        var mantissa: UInt64? = 0
        /// What to multiply the mantissa with, as a power of ten. Bounded, far beyond what a double holds.
        var exponent = 0

        init(_ text: UnsafeRawBufferPointer) {
            var position = 0
            if text.first == UInt8(ascii: "-") {
                self.isNegative = true
                position = 1
            }
            while position < text.count, text[position] | 0x20 != UInt8(ascii: "e") {
                let byte = text[position]
                position &+= 1
                if byte == UInt8(ascii: ".") {
                    self.isInteger = false
                } else {
                    self.append(UInt64(byte &- 0x30))
                    if !self.isInteger { self.exponent &-= 1 }
                }
            }
            guard position < text.count else { return }
            self.isInteger = false
            self.readExponent(UnsafeRawBufferPointer(rebasing: text[(position &+ 1)...]))
        }

        private mutating func append(_ digit: UInt64) {
            guard let mantissa = self.mantissa else { return }
            let (product, overflow) = mantissa.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(digit)
            self.mantissa = overflow || carry ? nil : sum
        }

        private mutating func readExponent(_ text: UnsafeRawBufferPointer) {
            var exponent = 0
            for byte in text where byte >= 0x30 && exponent < 1 << 40 { exponent = exponent &* 10 &+ Int(byte &- 0x30) }
            self.exponent &+= text.first == UInt8(ascii: "-") ? -exponent : exponent
        }

        /// The double if it takes a single rounding: both factors are exact.
        var exactDouble: Double? {
            guard let mantissa = self.mantissa, mantissa <= 1 << 53, -22...22 ~= self.exponent else { return nil }
            let power = Self.powersOfTen[abs(self.exponent)]
            let magnitude = self.exponent < 0 ? Double(mantissa) / power : Double(mantissa) * power
            return self.isNegative ? -magnitude : magnitude
        }

        func digits(of text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: text.dropFirst(self.isNegative ? 1 : 0))
        }

        private static let powersOfTen: [Double] = [
            1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
            1e20, 1e21, 1e22,
        ]
    }
}

/// Writing numbers as JavaScript does.
extension OutputBytes {
    mutating func writeJSONNumber(_ integer: Int64) {
        if integer < 0 { self.write(UInt8(ascii: "-")) }
        self.writeJSONNumber(integer.magnitude)
    }

    mutating func writeJSONNumber(_ integer: UInt64) {
        if integer < 10 {
            self.write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: integer))
            return
        }
        var count = 0
        var rest = integer
        while rest > 0 {
            rest /= 10
            count &+= 1
        }
        self.write(upTo: count) { output in
            var rest = integer
            for index in stride(from: count &- 1, through: 0, by: -1) {
                output[index] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            return count
        }
    }

    /// Writes the fewest digits that stand for the double (ECMA-262, Number::toString); `null` when it is not finite.
    mutating func writeJSONNumber(_ double: Double) {
        guard double.isFinite else {
            self.write("null")
            return
        }
        if let integer = Int64(exactly: double), integer.magnitude < 1 << 53 {
            self.writeJSONNumber(integer)
            return
        }
        if double < 0 { self.write(UInt8(ascii: "-")) }
        // At most 17 digits, of a description of at most 24 characters.
        var description = double.magnitude.description
        description.withUTF8 { text in
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { storage in
                var digits = UnsafeRawBufferPointer(rebasing: storage[..<0])
                let point = Self.read(text, digits: &digits, storage: storage)
                self.writeJSONNumber(digits: digits, point: point)
            }
        }
    }

    /// Takes Swift's description of a positive double apart.
    ///
    /// - Parameter digits: becomes the digits, without zeros at either end.
    /// - Returns: how many of the digits stand before the decimal point; also negative, or more than there are.
    private static func read(
        _ text: UnsafeBufferPointer<UInt8>,
        digits: inout UnsafeRawBufferPointer,
        storage: UnsafeMutableRawBufferPointer
    ) -> Int {
        var count = 0
        var point: Int?
        var zeros = 0
        var exponent = 0
        var position = 0
        while position < text.count, text[position] != UInt8(ascii: "e") {
            let byte = text[position]
            position += 1
            if byte == UInt8(ascii: ".") {
                point = count
            } else if byte == UInt8(ascii: "0"), count == 0 {
                // Of the zeros in front only those behind the point count.
                if point != nil { zeros += 1 }
            } else if count < storage.count {
                storage[count] = byte
                count += 1
            }
        }
        if position < text.count {
            exponent = Int(String(decoding: text[(position + 1)...], as: UTF8.self)) ?? 0
        }
        let digitsBeforePoint = point ?? count
        while count > 0, storage[count - 1] == UInt8(ascii: "0") { count -= 1 }
        digits = UnsafeRawBufferPointer(rebasing: storage[..<count])
        return digitsBeforePoint - zeros + exponent
    }

    private mutating func writeJSONNumber(digits: UnsafeRawBufferPointer, point: Int) {
        switch point {
        case digits.count...21:
            self.write(digits)
            self.write(UInt8(ascii: "0"), count: point - digits.count)
        case 1...21:
            self.write(UnsafeRawBufferPointer(rebasing: digits[..<point]))
            self.write(UInt8(ascii: "."))
            self.write(UnsafeRawBufferPointer(rebasing: digits[point...]))
        case -5...0:
            self.write("0.")
            self.write(UInt8(ascii: "0"), count: -point)
            self.write(digits)
        default:
            self.write(UnsafeRawBufferPointer(rebasing: digits[..<1]))
            if digits.count > 1 {
                self.write(UInt8(ascii: "."))
                self.write(UnsafeRawBufferPointer(rebasing: digits[1...]))
            }
            self.write(UInt8(ascii: "e"))
            self.write(point > 0 ? UInt8(ascii: "+") : UInt8(ascii: "-"))
            self.writeJSONNumber(UInt64((point - 1).magnitude))
        }
    }
}
