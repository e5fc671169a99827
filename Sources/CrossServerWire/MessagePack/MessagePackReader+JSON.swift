/// Writing MessagePack as JSON, as `JSON.stringify` of what notepack.io decodes, but for integers beyond 2^53, which keep
/// all their digits.
///
/// The text is at most fourteen times as long as the input: an empty binary is 28 characters with its comma.
extension MessagePackReader {
    /// Writes the value that comes next.
    ///
    /// - Parameter depth: of the containers around it.
    mutating func writeJSON(to output: inout OutputBytes, depth: Int = 0) throws(MessagePackError) {
        let start = self.position
        switch try self.next() {
        case .null: output.write("null")
        case .boolean(let value): output.write(value ? "true" : "false")
        case .integer(let value): output.writeJSONNumber(value)
        case .unsigned(let value): output.writeJSONNumber(value)
        case .float(let value): output.writeJSONNumber(Double(value))
        case .double(let value): output.writeJSONNumber(value)
        case .string(let range): output.writeJSONString(utf8: self.slice(range))
        case .binary(let range): try output.writeBuffer(self.slice(range), depth: depth)
        case .array(let count): try self.writeArray(count, to: &output, depth: depth)
        case .map(let count): try self.writeMap(count, to: &output, depth: depth)
        case .ext(let type, let range):
            let isFixed = self.bytes[start] >= 0xD4
            try output.writeExtension(type, self.slice(range), isFixed: isFixed, depth: depth)
        }
    }

    private mutating func writeArray(_ count: Int, to output: inout OutputBytes, depth: Int) throws(MessagePackError) {
        try JSONText.open(1, depth: depth)
        output.write(UInt8(ascii: "["))
        for index in 0..<count {
            if index > 0 { output.write(UInt8(ascii: ",")) }
            try self.writeJSON(to: &output, depth: depth + 1)
        }
        output.write(UInt8(ascii: "]"))
    }

    private mutating func writeMap(_ count: Int, to output: inout OutputBytes, depth: Int) throws(MessagePackError) {
        try JSONText.open(1, depth: depth)
        var separator = UInt8(ascii: "{")
        for _ in 0..<count {
            let start = output.count
            output.write(separator)
            try self.writeKey(to: &output)
            if self.isAtUndefined {
                try self.skipValue()
                output.moveEnd(to: start)
                continue
            }
            output.write(UInt8(ascii: ":"))
            try self.writeJSON(to: &output, depth: depth + 1)
            separator = UInt8(ascii: ",")
        }
        if separator == UInt8(ascii: "{") { output.write(separator) }
        output.write(UInt8(ascii: "}"))
    }

    /// Writes a key as JavaScript makes a string of it.
    private mutating func writeKey(to output: inout OutputBytes) throws(MessagePackError) {
        let start = self.position
        let token = try self.next()
        if case .string(let range) = token {
            output.writeJSONString(utf8: self.slice(range))
            return
        }
        output.write(UInt8(ascii: "\""))
        switch token {
        case .null: output.write("null")
        case .boolean(let value): output.write(value ? "true" : "false")
        case .integer(let value): output.writeJSONNumber(value)
        case .unsigned(let value): output.writeJSONNumber(value)
        case .float(let value): output.writeJSONKey(Double(value))
        case .double(let value): output.writeJSONKey(value)
        case .map(let count):
            for _ in 0..<(2 * count) { try self.skipValue() }
            output.write("[object Object]")
        case .binary, .array, .ext, .string: throw .unsupportedKey(offset: start)
        }
        output.write(UInt8(ascii: "\""))
    }

}

extension OutputBytes {
    fileprivate mutating func writeJSONKey(_ value: Double) {
        if value.isFinite {
            self.writeJSONNumber(value)
        } else {
            self.write(value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity")
        }
    }

    /// What `JSON.stringify` makes of a Node Buffer.
    fileprivate mutating func writeBuffer(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(MessagePackError) {
        try JSONText.open(2, depth: depth)
        self.write("{\"type\":\"Buffer\",\"data\":[")
        for (index, byte) in bytes.enumerated() {
            if index > 0 { self.write(UInt8(ascii: ",")) }
            self.writeJSONNumber(UInt64(byte))
        }
        self.write("]}")
    }

    /// - Parameter isFixed: whether it has one of the lengths that need no length.
    fileprivate mutating func writeExtension(
        _ type: Int8,
        _ data: UnsafeRawBufferPointer,
        isFixed: Bool,
        depth: Int
    ) throws(MessagePackError) {
        if let timestamp = MessagePackTimestamp(type: type, data) {
            self.writeJSON(JSONDate(timestamp))
            return
        }
        switch (type, data.count, isFixed) {
        // What notepack.io once wrote for undefined and for dates, and an ArrayBuffer.
        case (0, 1, true): self.write("null")
        case (0, 8, true):
            let milliseconds = Int64(bigEndian: data.loadUnaligned(as: Int64.self))
            self.writeJSON(JSONDate(milliseconds: milliseconds))
        case (0, _, false): try self.writeBuffer(data, depth: depth)
        default:
            self.write(UInt8(ascii: "["))
            self.writeJSONNumber(Int64(type))
            self.write(UInt8(ascii: ","))
            try self.writeBuffer(data, depth: depth + 1)
            self.write(UInt8(ascii: "]"))
        }
    }
}

extension JSONText {
    /// Checks that so many containers more may be open.
    fileprivate static func open(_ containers: Int, depth: Int) throws(MessagePackError) {
        guard depth + containers <= self.maximumDepth else { throw .tooDeep(maximum: self.maximumDepth) }
    }
}
