public import NIOCore

/// The two versions of the Redis protocol. A connection begins with the first; `HELLO 3` changes it to the second.
public enum RESPVersion: Int, Sendable, Hashable {
    case resp2 = 2
    case resp3 = 3
}

/// A value of the Redis protocol, RESP2 or RESP3.
///
/// Both nulls of RESP2 (`$-1` and `*-1`) are ``null``. Attributes (`|`) are read and dropped.
public enum RESPValue: Sendable, Hashable {
    case simpleString(String)
    case simpleError(String)
    case integer(Int64)
    case bulkString(ByteBuffer)
    case bulkError(String)
    case null
    case boolean(Bool)
    case double(Double)
    /// Decimal digits, with a sign or without.
    case bigNumber(String)
    case array([RESPValue])
    case set([RESPValue])
    /// In the order in which the entries came; keys may repeat.
    case map([RESPMapEntry])
    case push([RESPValue])
    /// The format has three characters: `txt` or `mkd`. Indirect, since the size of this rare case would be that of all.
    indirect case verbatimString(format: String, ByteBuffer)
}

/// A key of a RESP3 map and its value.
public struct RESPMapEntry: Sendable, Hashable {
    public var key: RESPValue
    public var value: RESPValue

    public init(key: RESPValue, value: RESPValue) {
        self.key = key
        self.value = value
    }
}

extension RESPValue {
    /// The bytes of a bulk or verbatim string.
    public var bytes: ByteBuffer? {
        switch self {
        case .bulkString(let bytes), .verbatimString(_, let bytes): bytes
        default: nil
        }
    }

    /// The text of a simple, bulk or verbatim string. What is not UTF-8 is replaced.
    public var string: String? {
        switch self {
        case .simpleString(let text): text
        default: self.bytes.map { String(buffer: $0) }
        }
    }

    /// The message of an error, which by convention begins with a word in capitals such as `ERR`, `NOAUTH` or `MOVED`.
    public var errorMessage: String? {
        switch self {
        case .simpleError(let message), .bulkError(let message): message
        default: nil
        }
    }

    /// The elements of an array, set or push. RESP2 has arrays in the place of all of them.
    public var elements: [RESPValue]? {
        switch self {
        case .array(let elements), .set(let elements), .push(let elements): elements
        default: nil
        }
    }

    /// The entries of a map, or of an array that has keys and values in turn, as maps are sent in RESP2.
    public var entries: [RESPMapEntry]? {
        switch self {
        case .map(let entries): return entries
        case .array(let elements):
            guard elements.count.isMultiple(of: 2) else { return nil }
            return stride(from: 0, to: elements.count, by: 2).map {
                RESPMapEntry(key: elements[$0], value: elements[$0 + 1])
            }
        default: return nil
        }
    }
}
