public import NIOCore

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The payload of a message: JSON text that is passed on unchanged and decoded only when somebody asks.
///
/// A payload always holds one valid JSON value, or nothing (``absent``, JavaScript's `undefined`). It can be written as
/// a literal: `["msg": "hi", "members": 3]`. Two payloads are equal when they hold the same JSON value, however it is written.
public struct Payload: Sendable {
    /// The JSON text in UTF-8; empty when the payload is absent.
    public let buffer: ByteBuffer

    /// No payload at all: the message has no `payload` key.
    public static let absent = Payload(unchecked: ByteBuffer())
    /// JSON's `null`.
    public static let null = Payload(unchecked: ByteBuffer(staticString: "null"))

    /// Takes text that is known to be one JSON value.
    init(unchecked buffer: ByteBuffer) {
        self.buffer = buffer
    }

    /// Takes a JSON text.
    ///
    /// - Throws: ``JSONError`` when the text is not exactly one JSON value, or is nested more than 512 deep.
    public init(json: String) throws(JSONError) {
        try self.init(json: ByteBuffer(string: json))
    }

    /// Takes a JSON text in UTF-8.
    ///
    /// - Throws: ``JSONError`` when the text is not exactly one JSON value, or is nested more than 512 deep.
    public init(json buffer: ByteBuffer) throws(JSONError) {
        let range = try Self.scan(buffer) { (scanner) throws(JSONError) in
            let range = try scanner.skipValue()
            guard scanner.peek() == nil else { throw .unexpectedByte(offset: scanner.position) }
            return range
        }
        self.buffer = buffer.slice(range)
    }

    /// Encodes a value as JSON.
    ///
    /// - Throws: `EncodingError` when the value cannot be represented, for example a number that is not finite.
    public init(encoding value: some Encodable) throws {
        self.init(unchecked: ByteBuffer(bytes: try JSONEncoder().encode(value)))
    }

    /// Decodes the payload.
    ///
    /// - Throws: `DecodingError` when the payload is absent or has another shape.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try self.buffer.withUnsafeReadableBytes { bytes in
            try JSONDecoder().decode(Value.self, from: Data(bytes))
        }
    }

    public var isAbsent: Bool { self.buffer.readableBytes == 0 }

    /// The JSON text; empty when the payload is absent.
    public var json: String { String(buffer: self.buffer) }

    /// The value if the payload is a JSON string.
    public var string: String? {
        self.scanOnce { (scanner) throws(JSONError) in
            guard scanner.peek() == UInt8(ascii: "\"") else { return nil }
            return scanner.string(try scanner.scanString())
        }
    }

    /// The elements if the payload is a JSON array.
    public var array: [Payload]? {
        self.scanOnce { (scanner) throws(JSONError) in
            guard scanner.peek() == UInt8(ascii: "[") else { return nil }
            var elements: [Payload] = []
            try scanner.scanArray(depth: 0) { (scanner) throws(JSONError) in
                let range = try scanner.skipValue(depth: 1)
                elements.append(Payload(unchecked: self.buffer.slice(range)))
            }
            return elements
        }
    }

    /// Whether the payload is a JSON object.
    public var isObject: Bool {
        self.buffer.readableBytesView.first == UInt8(ascii: "{")
    }

    /// A member of the payload, unchanged, if the payload is an object that has it. Of a repeated key the last counts.
    public subscript(key: String) -> Payload? {
        self.scanOnce { (scanner) throws(JSONError) in
            guard scanner.peek() == UInt8(ascii: "{") else { return nil }
            var found: Payload?
            try scanner.scanObject(depth: 0) { (scanner, token) throws(JSONError) in
                let isWanted = scanner.string(token) == key
                let range = try scanner.skipValue(depth: 1)
                if isWanted { found = Payload(unchecked: self.buffer.slice(range)) }
            }
            return found
        }
    }

    /// Scans text that was accepted before; the scan cannot fail.
    private func scanOnce<Result>(_ body: (inout JSONScanner) throws(JSONError) -> Result?) -> Result? {
        do {
            return try Self.scan(self.buffer, body)
        } catch {
            assertionFailure("a payload holds valid JSON: \(error)")
            return nil
        }
    }

    static func scan<Result>(
        _ buffer: ByteBuffer,
        _ body: (inout JSONScanner) throws(JSONError) -> Result
    ) throws(JSONError) -> Result {
        let result = buffer.withUnsafeReadableBytes { bytes -> Swift.Result<Result, JSONError> in
            var scanner = JSONScanner(bytes, maximumDepth: JSONText.maximumDepth)
            do throws(JSONError) {
                return .success(try body(&scanner))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

extension JSONScanner {
    func string(_ token: StringToken) -> String {
        let content = UnsafeRawBufferPointer(rebasing: self.bytes[token.content])
        return token.isEscaped ? JSONText.unescape(content) : String(decoding: content, as: UTF8.self)
    }
}

extension ByteBuffer {
    /// A part of the readable bytes; the range counts from the reader index.
    func slice(_ range: Range<Int>) -> ByteBuffer {
        self.getSlice(at: self.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
    }
}

extension Payload: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A JSON string with the given value.
    public init(_ string: String) {
        var buffer = ByteBuffer()
        buffer.writeJSONString(string)
        self.init(unchecked: buffer)
    }

    /// A JSON number.
    public init(_ integer: Int) {
        self.init(unchecked: ByteBuffer(string: String(integer)))
    }

    /// A JSON number; `null` for one that is not finite, as in JavaScript.
    public init(_ number: Double) {
        self.init(unchecked: ByteBuffer(string: number.isFinite ? "\(number)" : "null"))
    }

    /// A JSON boolean.
    public init(_ boolean: Bool) {
        self.init(unchecked: ByteBuffer(staticString: boolean ? "true" : "false"))
    }

    /// A JSON array. An absent element becomes `null`, as in JavaScript.
    public init(_ elements: [Payload]) {
        var buffer = ByteBuffer(staticString: "[")
        for (index, element) in elements.enumerated() {
            if index > 0 { buffer.writeInteger(UInt8(ascii: ",")) }
            buffer.writeImmutableBuffer(element.isAbsent ? Payload.null.buffer : element.buffer)
        }
        buffer.writeInteger(UInt8(ascii: "]"))
        self.init(unchecked: buffer)
    }

    public init(stringLiteral value: String) { self.init(value) }
    public init(integerLiteral value: Int) { self.init(value) }
    public init(floatLiteral value: Double) { self.init(value) }
    public init(booleanLiteral value: Bool) { self.init(value) }
    public init(arrayLiteral elements: Payload...) { self.init(elements) }

    /// A JSON object in the order given. A member whose value is absent is left out, as in JavaScript.
    public init(dictionaryLiteral members: (String, Payload)...) {
        var buffer = ByteBuffer(staticString: "{")
        for (key, value) in members where !value.isAbsent {
            if buffer.readableBytes > 1 { buffer.writeInteger(UInt8(ascii: ",")) }
            buffer.writeJSONString(key)
            buffer.writeInteger(UInt8(ascii: ":"))
            buffer.writeImmutableBuffer(value.buffer)
        }
        buffer.writeInteger(UInt8(ascii: "}"))
        self.init(unchecked: buffer)
    }
}
