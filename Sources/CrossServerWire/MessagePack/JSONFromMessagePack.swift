import NIOCore

/// Writes MessagePack as JSON, as `JSON.stringify` of what notepack.io decodes, but for integers beyond 2^53, which keep
/// all their digits.
///
/// The text is at most fourteen times as long as the input: an empty binary is 28 characters with its comma.
struct JSONFromMessagePack {
    private(set) var reader: MessagePackReader
    private(set) var output: ByteBuffer

    init(_ reader: MessagePackReader) throws(MessagePackError) {
        guard reader.remaining <= MessagePack.maximumLength else { throw .tooLong(maximum: MessagePack.maximumLength) }
        self.reader = reader
        self.output = ByteBufferAllocator().buffer(capacity: reader.remaining &+ reader.remaining / 4 &+ 16)
    }

    /// Writes the value that comes next.
    ///
    /// - Parameter depth: of the containers around it.
    mutating func writeValue(depth: Int = 0) throws(MessagePackError) {
        let start = self.reader.position
        switch try self.reader.next() {
        case .null: self.output.writeStaticString("null")
        case .boolean(let value): self.output.writeStaticString(value ? "true" : "false")
        case .integer(let value): self.output.writeJSONNumber(value)
        case .unsigned(let value): self.output.writeJSONNumber(value)
        case .float(let value): self.output.writeJSONNumber(Double(value))
        case .double(let value): self.output.writeJSONNumber(value)
        case .string(let range): self.output.writeJSONString(utf8: self.reader.slice(range))
        case .binary(let range): try self.writeBuffer(self.reader.slice(range), depth: depth)
        case .array(let count): try self.writeArray(count, depth: depth)
        case .map(let count): try self.writeMap(count, depth: depth)
        case .ext(let type, let range):
            let isFixed = self.reader.bytes[start] >= 0xD4
            try self.writeExtension(type, self.reader.slice(range), isFixed: isFixed, depth: depth)
        }
    }

    /// Checks that so many containers more may be open.
    private func open(_ containers: Int, depth: Int) throws(MessagePackError) {
        guard depth + containers <= JSONText.maximumDepth else { throw .tooDeep(maximum: JSONText.maximumDepth) }
    }

    private mutating func writeArray(_ count: Int, depth: Int) throws(MessagePackError) {
        try self.open(1, depth: depth)
        self.output.writeInteger(UInt8(ascii: "["))
        for index in 0..<count {
            if index > 0 { self.output.writeInteger(UInt8(ascii: ",")) }
            try self.writeValue(depth: depth + 1)
        }
        self.output.writeInteger(UInt8(ascii: "]"))
    }

    private mutating func writeMap(_ count: Int, depth: Int) throws(MessagePackError) {
        try self.open(1, depth: depth)
        var separator = UInt8(ascii: "{")
        for _ in 0..<count {
            let start = self.output.writerIndex
            self.output.writeInteger(separator)
            try self.writeKey()
            if self.reader.isAtUndefined {
                try self.reader.skipValue()
                self.output.moveWriterIndex(to: start)
                continue
            }
            self.output.writeInteger(UInt8(ascii: ":"))
            try self.writeValue(depth: depth + 1)
            separator = UInt8(ascii: ",")
        }
        if separator == UInt8(ascii: "{") { self.output.writeInteger(separator) }
        self.output.writeInteger(UInt8(ascii: "}"))
    }

    /// Writes a key as JavaScript makes a string of it.
    private mutating func writeKey() throws(MessagePackError) {
        let start = self.reader.position
        let token = try self.reader.next()
        if case .string(let range) = token {
            self.output.writeJSONString(utf8: self.reader.slice(range))
            return
        }
        self.output.writeInteger(UInt8(ascii: "\""))
        switch token {
        case .null: self.output.writeStaticString("null")
        case .boolean(let value): self.output.writeStaticString(value ? "true" : "false")
        case .integer(let value): self.output.writeJSONNumber(value)
        case .unsigned(let value): self.output.writeJSONNumber(value)
        case .float(let value): self.writeKey(Double(value))
        case .double(let value): self.writeKey(value)
        case .map(let count):
            for _ in 0..<(2 * count) { try self.reader.skipValue() }
            self.output.writeStaticString("[object Object]")
        case .binary, .array, .ext, .string: throw .unsupportedKey(offset: start)
        }
        self.output.writeInteger(UInt8(ascii: "\""))
    }

    private mutating func writeKey(_ value: Double) {
        if value.isFinite {
            self.output.writeJSONNumber(value)
        } else {
            self.output.writeStaticString(value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity")
        }
    }

    /// What `JSON.stringify` makes of a Node Buffer.
    private mutating func writeBuffer(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(MessagePackError) {
        try self.open(2, depth: depth)
        self.output.writeStaticString("{\"type\":\"Buffer\",\"data\":[")
        for (index, byte) in bytes.enumerated() {
            if index > 0 { self.output.writeInteger(UInt8(ascii: ",")) }
            self.output.writeJSONNumber(UInt64(byte))
        }
        self.output.writeStaticString("]}")
    }

    /// - Parameter isFixed: whether it has one of the lengths that need no length.
    private mutating func writeExtension(
        _ type: Int8,
        _ data: UnsafeRawBufferPointer,
        isFixed: Bool,
        depth: Int
    ) throws(MessagePackError) {
        if let timestamp = MessagePackTimestamp(type: type, data) {
            self.output.writeJSON(JSONDate(timestamp))
            return
        }
        switch (type, data.count, isFixed) {
        // What notepack.io once wrote for undefined and for dates, and an ArrayBuffer.
        case (0, 1, true): self.output.writeStaticString("null")
        case (0, 8, true):
            let milliseconds = Int64(bigEndian: data.loadUnaligned(as: Int64.self))
            self.output.writeJSON(JSONDate(milliseconds: milliseconds))
        case (0, _, false): try self.writeBuffer(data, depth: depth)
        default:
            self.output.writeInteger(UInt8(ascii: "["))
            self.output.writeJSONNumber(Int64(type))
            self.output.writeInteger(UInt8(ascii: ","))
            try self.writeBuffer(data, depth: depth + 1)
            self.output.writeInteger(UInt8(ascii: "]"))
        }
    }
}
