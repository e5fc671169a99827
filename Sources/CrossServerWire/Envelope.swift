public import NIOCore

/// A text message between client and server: `{"event": …, "payload": …, "callbackId": …}`.
///
/// A message with an event is one; with an event and a callback id it is a request; with a callback id and no event it
/// is the reply to one. Requests of the server to a client, and their replies, have a `requestId` instead, which the
/// original ignores. Unknown keys are ignored; of a repeated key the last counts.
public struct Envelope: Sendable, Equatable {
    /// The event's name, if there is an `event` key with a string.
    public var event: String?
    /// The payload, a slice of the message.
    public var payload: Payload
    /// The callback id, if there is one that is honoured.
    public var callbackId: CallbackID?
    /// Whether the message has a `callbackId` key with any value but `null`, honoured or not.
    public var hasCallbackId: Bool
    /// The id of a request that the server sends to a client, if there is one that is honoured.
    public var requestId: CallbackID?
    /// Whether the message has a `requestId` key with any value but `null`, honoured or not.
    public var hasRequestId: Bool
    /// What a handler threw, in the reply to a request: the `error` key.
    public var error: Payload?

    /// Scans a message.
    ///
    /// - Parameter text: valid UTF-8.
    /// - Throws: ``EnvelopeError``.
    public init(scanning text: ByteBuffer) throws(EnvelopeError) {
        self = try text.withUnsafeReadableBytes { bytes throws(EnvelopeError) in
            var envelope = Envelope()
            try envelope.scan(bytes, of: text)
            return envelope
        }
    }

    private init() {
        self.payload = .absent
        self.hasCallbackId = false
        self.hasRequestId = false
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer, of text: ByteBuffer) throws(EnvelopeError) {
        var scanner = JSONScanner(bytes, maximumDepth: JSONText.maximumDepth)
        var isObject = true
        do throws(JSONError) {
            if scanner.peek() == UInt8(ascii: "{") {
                try self.read(&scanner, of: text)
            } else {
                _ = try scanner.skipValue()
                isObject = false
            }
        } catch {
            throw .invalidJSON(error)
        }
        if scanner.peek() != nil { throw .invalidJSON(scanner.unexpected()) }
        if !isObject { throw .notAnObject }
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
            case .requestId where isString:
                self.requestId = CallbackID(try scanner.scanString(), in: scanner, of: text)
                self.hasRequestId = true
            default:
                let range = try scanner.skipValue(depth: 1)
                switch key {
                case .event: self.event = nil
                case .payload: self.payload = Payload(unchecked: text.slice(range))
                case .callbackId:
                    self.callbackId = nil
                    self.hasCallbackId = scanner.bytes[range.lowerBound] != UInt8(ascii: "n")
                case .requestId:
                    self.requestId = nil
                    self.hasRequestId = scanner.bytes[range.lowerBound] != UInt8(ascii: "n")
                case .error: self.error = Payload(unchecked: text.slice(range))
                case nil: break
                }
            }
        }
    }

    private enum Key: String {
        case event, payload, callbackId, requestId, error

        /// Compares bytes first, so that the usual message makes no string.
        init?(_ token: JSONScanner.StringToken, in scanner: JSONScanner) {
            if token.isEscaped {
                self.init(rawValue: scanner.string(token))
                return
            }
            let bytes = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
            switch bytes.count {
            case 5 where bytes.isEqual(to: "event"): self = .event
            case 5 where bytes.isEqual(to: "error"): self = .error
            case 7 where bytes.isEqual(to: "payload"): self = .payload
            case 9 where bytes.isEqual(to: "requestId"): self = .requestId
            case 10 where bytes.isEqual(to: "callbackId"): self = .callbackId
            default: return nil
            }
        }
    }
}

extension Envelope {
    /// Why the request failed that this is the reply to; nil when it did not.
    package var failure: RequestFailure? {
        guard let error = self.error, error != .null else { return nil }
        return RequestFailure(
            code: error["code"]?.string ?? "UNKNOWN",
            message: error["message"]?.string ?? error.string ?? error.json
        )
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

    /// Whether who sent the request tells a failure from success: its id begins with `~`. Those of the original never do.
    package var understandsFailures: Bool {
        self.literal.getInteger(at: self.literal.readerIndex + 1, as: UInt8.self) == UInt8(ascii: "~")
    }

    /// The id's value.
    public var string: String { Payload(unchecked: self.literal).string ?? "" }
}
