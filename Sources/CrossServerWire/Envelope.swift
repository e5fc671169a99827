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
        let result = text.withUnsafeReadableBytes { bytes -> Result<Envelope, EnvelopeError> in
            var scanner = JSONScanner(bytes, maximumDepth: JSONText.maximumDepth)
            do throws(JSONError) {
                guard scanner.peek() == UInt8(ascii: "{") else {
                    _ = try scanner.skipValue()
                    return .failure(scanner.peek() == nil ? .notAnObject : .invalidJSON(scanner.unexpected()))
                }
                let envelope = try Envelope(members: &scanner, of: text)
                guard scanner.peek() == nil else { return .failure(.invalidJSON(scanner.unexpected())) }
                return .success(envelope)
            } catch {
                return .failure(.invalidJSON(error))
            }
        }
        self = try result.get()
    }

    private init(members scanner: inout JSONScanner, of text: ByteBuffer) throws(JSONError) {
        var event: String?
        var payload = Payload.absent
        var callbackId: CallbackID?
        var hasCallbackId = false
        var failure: Payload?
        try scanner.scanObject(depth: 0) { (scanner, token) throws(JSONError) in
            let key = Key(token, in: scanner)
            let isString = scanner.peek() == UInt8(ascii: "\"")
            switch key {
            case .event where isString:
                event = scanner.string(try scanner.scanString())
            case .callbackId where isString:
                callbackId = CallbackID(try scanner.scanString(), in: scanner, of: text)
                hasCallbackId = true
            default:
                let range = try scanner.skipValue(depth: 1)
                switch key {
                case .event: event = nil
                case .payload: payload = Payload(unchecked: text.slice(range))
                case .callbackId:
                    callbackId = nil
                    hasCallbackId = scanner.bytes[range.lowerBound] != UInt8(ascii: "n")
                case .error: failure = Payload(unchecked: text.slice(range))
                case nil: break
                }
            }
        }
        self.event = event
        self.payload = payload
        self.callbackId = callbackId
        self.hasCallbackId = hasCallbackId
        self.error = failure
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
            switch bytes.count {
            case 5 where bytes.elementsEqual("event".utf8): self = .event
            case 5 where bytes.elementsEqual("error".utf8): self = .error
            case 7 where bytes.elementsEqual("payload".utf8): self = .payload
            case 10 where bytes.elementsEqual("callbackId".utf8): self = .callbackId
            default: return nil
            }
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
