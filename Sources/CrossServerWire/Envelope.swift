public import NIOCore

/// A text message between client and server: `{"event": …, "payload": …, "callbackId": …}`.
///
/// A message with an event is one; with an event and a callback id it is a request; with a callback id and no event it
/// is the reply to one. Unknown keys are ignored; of a repeated key the last counts.
public struct Envelope: Sendable, Equatable {
    /// The event's name, if there is an `event` key with a string.
    public var event: String?
    /// The payload, a slice of the message.
    public var payload: Payload
    /// The callback id, if there is one that is honoured.
    public var callbackId: CallbackID?
    /// Whether the message has a `callbackId` key with any value but `null`, honoured or not.
    public var hasCallbackId: Bool
    /// What a handler threw, in the reply to a request: the `error` key.
    public var error: Payload?

    /// Scans a message.
    ///
    /// - Parameter text: valid UTF-8.
    /// - Throws: ``EnvelopeError``.
    public init(scanning text: ByteBuffer) throws(EnvelopeError) {
        self.payload = .absent
        self.hasCallbackId = false
        var failure: EnvelopeError?
        text.withUnsafeReadableBytes { bytes in
            var scanner = JSONScanner(bytes, maximumDepth: JSONText.maximumDepth)
            do throws(JSONError) {
                if scanner.peek() == UInt8(ascii: "{") {
                    try self.read(&scanner, of: text)
                } else {
                    _ = try scanner.skipValue()
                    failure = .notAnObject
                }
                if scanner.peek() != nil { failure = .invalidJSON(scanner.unexpected()) }
            } catch {
                failure = .invalidJSON(error)
            }
        }
        if let failure { throw failure }
    }

    private mutating func read(_ scanner: inout JSONScanner, of text: ByteBuffer) throws(JSONError) {
        try scanner.scanObject(depth: 0) { (scanner, token) throws(JSONError) in
            let key = Key(token, in: scanner)
            let isString = scanner.peek() == UInt8(ascii: "\"")
            switch key {
            case .event where isString:
                self.event = scanner.string(try scanner.scanString())
            case .callbackId where isString:
                self.callbackId = CallbackID(try scanner.scanString(), in: scanner, of: text)
                self.hasCallbackId = true
            default:
                let range = try scanner.skipValue(depth: 1)
                switch key {
                case .event: self.event = nil
                case .payload: self.payload = Payload(unchecked: text.slice(range))
                case .callbackId:
                    self.callbackId = nil
                    self.hasCallbackId = scanner.bytes[range.lowerBound] != UInt8(ascii: "n")
                case .error: self.error = Payload(unchecked: text.slice(range))
                case nil: break
                }
            }
        }
    }

    private enum Key {
        case event, payload, callbackId, error

        /// Compares bytes first, so that the usual message makes no string.
        init?(_ token: JSONScanner.StringToken, in scanner: JSONScanner) {
            if token.isEscaped {
                self.init(name: scanner.string(token))
                return
            }
            let bytes = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
            if Self.equal(bytes, "event") {
                self = .event
            } else if Self.equal(bytes, "payload") {
                self = .payload
            } else if Self.equal(bytes, "callbackId") {
                self = .callbackId
            } else if Self.equal(bytes, "error") {
                self = .error
            } else {
                return nil
            }
        }

        private static func equal(_ bytes: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
            guard bytes.count == name.utf8CodeUnitCount else { return false }
            for index in 0..<bytes.count where bytes[index] != name.utf8Start[index] { return false }
            return true
        }

        private init?(name: String) {
            switch name {
            case "event": self = .event
            case "error": self = .error
            case "payload": self = .payload
            case "callbackId": self = .callbackId
            default: return nil
            }
        }
    }
}

/// Why a message is not an ``Envelope``.
public enum EnvelopeError: Error, Hashable, Sendable, CustomStringConvertible {
    case invalidJSON(JSONError)
    /// The message is valid JSON, but no object.
    case notAnObject

    public var description: String {
        switch self {
        case .invalidJSON(let error): error.description
        case .notAnObject: "the message is no JSON object"
        }
    }
}

/// The id that ties a reply to its request: a string of 1 to 64 UTF-16 code units.
///
/// It is kept as it was written, so that it goes back byte for byte.
public struct CallbackID: Sendable, Equatable {
    /// UTF-16 code units, as the original counts.
    public static let maximumLength = 64

    /// The JSON string with its quotes.
    let literal: ByteBuffer

    /// - Returns: nil when the string is empty or longer than ``maximumLength``.
    public init?(_ string: String) {
        guard 1...Self.maximumLength ~= string.utf16.count else { return nil }
        var buffer = ByteBuffer()
        buffer.writeJSONString(string)
        self.literal = buffer
    }

    init?(_ token: JSONScanner.StringToken, in scanner: JSONScanner, of text: ByteBuffer) {
        let content = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
        guard 1...Self.maximumLength ~= JSONText.utf16Count(content) else { return nil }
        self.literal = text.slice(token.range)
    }

    /// The id's value.
    public var string: String { Payload(unchecked: self.literal).string ?? "" }
}
