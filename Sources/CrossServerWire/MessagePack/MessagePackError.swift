/// Why bytes are not accepted as MessagePack, or a value cannot be written as it.
public enum MessagePackError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes end inside a value, or a length or count claims more than there is.
    case endOfData
    /// There is more behind the value.
    case trailingBytes(offset: Int)
    /// The byte that stands for no type, 0xC1.
    case unknownType(offset: Int)
    /// More than `maximum` maps and arrays are open at once.
    case tooDeep(maximum: Int)
    /// The value has more than `maximum` elements in all.
    case tooManyElements(maximum: Int)
    /// A string, binary or extension, or what should be converted, is longer than `maximum` bytes.
    case tooLong(maximum: Int)
    /// A map has a key that JSON has no text for: a binary, an array or an extension.
    case unsupportedKey(offset: Int)
    /// A JSON number that neither 64 bits of integer nor a double hold without becoming another number.
    case numberOutOfRange(offset: Int)
    /// A JSON string escapes one half of a surrogate pair, which UTF-8 has no bytes for.
    case unpairedSurrogate(offset: Int)
    /// What should be written is no JSON.
    case invalidJSON(JSONError)

    public var description: String {
        switch self {
        case .endOfData: "the MessagePack data ends too early"
        case .trailingBytes(let offset): "there are more bytes behind the MessagePack value, at offset \(offset)"
        case .unknownType(let offset): "unknown MessagePack type at offset \(offset)"
        case .tooDeep(let maximum): "the MessagePack value is nested more than \(maximum) deep"
        case .tooManyElements(let maximum): "the MessagePack value has more than \(maximum) elements"
        case .tooLong(let maximum): "the MessagePack value or a part of it is longer than \(maximum) bytes"
        case .unsupportedKey(let offset): "the map key at offset \(offset) has no form in JSON"
        case .numberOutOfRange(let offset): "the number at offset \(offset) of the JSON text would become another one"
        case .unpairedSurrogate(let offset): "the string at offset \(offset) of the JSON text has half a surrogate pair"
        case .invalidJSON(let error): error.description
        }
    }
}
