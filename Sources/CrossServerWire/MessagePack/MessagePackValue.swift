public import NIOCore

/// A MessagePack value of any type.
public enum MessagePackValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int64)
    /// An integer that does not fit `Int64`. Smaller ones are read as ``int(_:)``.
    case uint(UInt64)
    /// 32 bits.
    case float(Float)
    case double(Double)
    /// UTF-8. What is none is read as U+FFFD.
    case string(String)
    case binary(ByteBuffer)
    case array([MessagePackValue])
    /// In the order in which they were written; keys may come again.
    case map([Pair])
    case timestamp(MessagePackTimestamp)
    /// The application's types are 0 to 127; negative ones belong to the specification.
    case ext(type: Int8, ByteBuffer)

    public struct Pair: Sendable, Hashable {
        public var key: MessagePackValue
        public var value: MessagePackValue

        public init(_ key: MessagePackValue, _ value: MessagePackValue) {
            self.key = key
            self.value = value
        }
    }

    /// The value of a string key of a map. Of a repeated key the last counts.
    public subscript(key: String) -> MessagePackValue? {
        guard case .map(let pairs) = self else { return nil }
        return pairs.last { $0.key == .string(key) }?.value
    }
}

/// What a ``MessagePackValue`` that is read may have.
public struct MessagePackLimits: Sendable, Hashable {
    /// Maps and arrays that may be open at once. Reading calls itself once for each.
    public var maximumDepth: Int
    /// Values in all, keys included.
    public var maximumElements: Int
    /// Bytes of one string, binary or extension.
    public var maximumLength: Int

    public init(maximumDepth: Int = 512, maximumElements: Int = 1_000_000, maximumLength: Int = 1 << 27) {
        self.maximumDepth = maximumDepth
        self.maximumElements = maximumElements
        self.maximumLength = maximumLength
    }
}

extension MessagePackValue {
    /// Decodes one value. Binaries and extensions are slices of the buffer and keep its memory.
    ///
    /// - Throws: ``MessagePackError`` when the bytes are not exactly one value, or exceed the limits.
    public init(decoding buffer: ByteBuffer, limits: MessagePackLimits = .init()) throws(MessagePackError) {
        self = try buffer.withUnsafeReadableBytes { bytes throws(MessagePackError) in
            var decoder = Decoder(buffer: buffer, reader: MessagePackReader(bytes), limits: limits)
            let value = try decoder.value(depth: 0)
            guard decoder.reader.isAtEnd else { throw .trailingBytes(offset: decoder.reader.position) }
            return value
        }
    }

    /// Writes the value at the end of a buffer, every part as short as it can be but for floats and doubles, which keep
    /// their size.
    ///
    /// - Throws: ``MessagePackError`` with `tooDeep` beyond 512 maps and arrays open at once; nothing is written then.
    public func write(into buffer: inout ByteBuffer) throws(MessagePackError) {
        try buffer.writeOutput(estimate: 64) { (output) throws(MessagePackError) in
            try self.write(to: &output, depth: 0)
        }
    }

    private func write(to output: inout OutputBytes, depth: Int) throws(MessagePackError) {
        switch self {
        case .array, .map:
            guard depth < JSONText.maximumDepth else { throw .tooDeep(maximum: JSONText.maximumDepth) }
        default: break
        }
        switch self {
        case .null: output.writeMessagePackNull()
        case .bool(let value): output.writeMessagePack(value)
        case .int(let value): output.writeMessagePack(value)
        case .uint(let value): output.writeMessagePack(value)
        case .float(let value): output.writeMessagePack(value)
        case .double(let value): output.writeMessagePack(value)
        case .string(let value): output.writeMessagePack(value)
        case .binary(let value): output.writeMessagePack(binary: value)
        case .array(let elements):
            output.writeMessagePackArrayHead(elements.count)
            for element in elements { try element.write(to: &output, depth: depth + 1) }
        case .map(let pairs):
            output.writeMessagePackMapHead(pairs.count)
            for pair in pairs {
                try pair.key.write(to: &output, depth: depth + 1)
                try pair.value.write(to: &output, depth: depth + 1)
            }
        case .timestamp(let timestamp): output.writeMessagePack(timestamp)
        case .ext(let type, let data): output.writeMessagePack(ext: type, data)
        }
    }

    private struct Decoder {
        let buffer: ByteBuffer
        var reader: MessagePackReader
        let limits: MessagePackLimits
        var elements = 0

        mutating func value(depth: Int) throws(MessagePackError) -> MessagePackValue {
            self.elements += 1
            guard self.elements <= self.limits.maximumElements else {
                throw .tooManyElements(maximum: self.limits.maximumElements)
            }
            switch try self.reader.next() {
            case .null: return .null
            case .boolean(let value): return .bool(value)
            case .integer(let value): return .int(value)
            case .unsigned(let value): return .uint(value)
            case .float(let value): return .float(value)
            case .double(let value): return .double(value)
            case .string(let range): return .string(self.reader.string(try self.checked(range)))
            case .binary(let range): return .binary(self.buffer.slice(try self.checked(range)))
            case .array(let count): return .array(try self.array(count, depth: depth))
            case .map(let count): return .map(try self.map(count, depth: depth))
            case .ext(let type, let range):
                let data = self.reader.slice(try self.checked(range))
                return MessagePackTimestamp(type: type, data).map { .timestamp($0) }
                    ?? .ext(type: type, self.buffer.slice(range))
            }
        }

        private func checked(_ range: Range<Int>) throws(MessagePackError) -> Range<Int> {
            guard range.count <= self.limits.maximumLength else { throw .tooLong(maximum: self.limits.maximumLength) }
            return range
        }

        /// Checks before memory is taken for them.
        private func expect(_ count: Int, depth: Int) throws(MessagePackError) {
            guard depth < self.limits.maximumDepth else { throw .tooDeep(maximum: self.limits.maximumDepth) }
            guard count <= self.limits.maximumElements - self.elements else {
                throw .tooManyElements(maximum: self.limits.maximumElements)
            }
        }

        private mutating func array(_ count: Int, depth: Int) throws(MessagePackError) -> [MessagePackValue] {
            try self.expect(count, depth: depth)
            var elements: [MessagePackValue] = []
            for _ in 0..<count { elements.append(try self.value(depth: depth + 1)) }
            return elements
        }

        private mutating func map(_ count: Int, depth: Int) throws(MessagePackError) -> [Pair] {
            try self.expect(2 * count, depth: depth)
            var pairs: [Pair] = []
            for _ in 0..<count {
                let key = try self.value(depth: depth + 1)
                pairs.append(Pair(key, try self.value(depth: depth + 1)))
            }
            return pairs
        }
    }
}
