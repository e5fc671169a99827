public import NIOCore

extension ByteBuffer {
    /// Writes a value as a server sends it. What RESP2 has no type for takes the form that Redis gives it there: maps,
    /// sets and pushes become arrays, doubles and big numbers strings, booleans 1 and 0.
    ///
    /// Line ends in simple strings and errors become spaces, since they would end the value.
    public mutating func writeRESP(_ value: RESPValue, version: RESPVersion) {
        switch value {
        case .simpleString(let text): self.writeRESPLine("+", text)
        case .simpleError(let message): self.writeRESPLine("-", message)
        case .integer(let number): self.writeRESPHeader(":", Int(number))
        case .bulkString(let bytes): self.writeRESPBulkString(bytes)
        case .array(let elements): self.writeRESP(elements, type: "*", version)
        case .set(let elements): self.writeRESP(elements, type: version == .resp3 ? "~" : "*", version)
        case .push(let elements): self.writeRESP(elements, type: version == .resp3 ? ">" : "*", version)
        case .map(let entries):
            if version == .resp3 {
                self.writeRESPHeader("%", entries.count)
            } else {
                self.writeRESPArrayHeader(count: entries.count * 2)
            }
            for entry in entries {
                self.writeRESP(entry.key, version: version)
                self.writeRESP(entry.value, version: version)
            }
        default:
            if version == .resp3 { self.writeRESP3(value) } else { self.writeInRESP2(value) }
        }
    }

    private mutating func writeRESP(_ elements: [RESPValue], type: Unicode.Scalar, _ version: RESPVersion) {
        self.writeRESPHeader(type, elements.count)
        for element in elements { self.writeRESP(element, version: version) }
    }

    private mutating func writeRESP3(_ value: RESPValue) {
        switch value {
        case .boolean(let flag): self.writeString(flag ? "#t\r\n" : "#f\r\n")
        case .double(let number): self.writeRESPLine(",", number.respText)
        case .bigNumber(let digits): self.writeRESPLine("(", digits)
        case .bulkError(let message):
            self.writeRESPHeader("!", message.utf8.count)
            self.writeString(message)
            self.writeString("\r\n")
        case .verbatimString(let format, let bytes):
            self.writeRESPHeader("=", format.utf8.count + 1 + bytes.readableBytes)
            self.writeString(format)
            self.writeString(":")
            self.writeImmutableBuffer(bytes)
            self.writeString("\r\n")
        default: self.writeString("_\r\n")
        }
    }

    private mutating func writeInRESP2(_ value: RESPValue) {
        switch value {
        case .boolean(let flag): self.writeRESPHeader(":", flag ? 1 : 0)
        case .double(let number): self.writeRESPBulkString(number.respText)
        case .bigNumber(let digits): self.writeRESPBulkString(digits)
        case .bulkError(let message): self.writeRESPLine("-", message)
        case .verbatimString(_, let bytes): self.writeRESPBulkString(bytes)
        default: self.writeString("$-1\r\n")
        }
    }

    private mutating func writeRESPLine(_ type: Unicode.Scalar, _ text: String) {
        self.writeInteger(UInt8(ascii: type))
        if text.utf8.contains(where: { $0 == .carriageReturn || $0 == .lineFeed }) {
            self.writeBytes(text.utf8.map { $0 == .carriageReturn || $0 == .lineFeed ? UInt8(ascii: " ") : $0 })
        } else {
            self.writeString(text)
        }
        self.writeString("\r\n")
    }
}

extension Double {
    /// Whole numbers without a fraction, as Redis writes them.
    fileprivate var respText: String {
        if self.isNaN { return "nan" }
        if self.isInfinite { return self < 0 ? "-inf" : "inf" }
        let largestExact = 9_007_199_254_740_992.0
        let isNegativeZero = self == 0 && self.sign == .minus
        if self.rounded() == self, self.magnitude <= largestExact, !isNegativeZero { return "\(Int64(self))" }
        return "\(self)"
    }
}
