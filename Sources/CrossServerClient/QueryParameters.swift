/// Names and values that a connector adds to the query of its URL, in their order.
///
/// ```swift
/// let parameters: QueryParameters = ["id": "42", "name": "Zoë"]
/// ```
public struct QueryParameters: Sendable, ExpressibleByDictionaryLiteral {
    public private(set) var pairs: [(name: String, value: String)]

    public init() {
        self.pairs = []
    }

    public init(dictionaryLiteral elements: (String, String)...) {
        self.pairs = elements.map { (name: $0.0, value: $0.1) }
    }

    /// Adds a parameter behind the others. A name may come more than once.
    public mutating func append(_ name: String, _ value: String) {
        self.pairs.append((name: name, value: value))
    }

    /// The parameters as `application/x-www-form-urlencoded`, as URLSearchParams writes them: a space becomes `+`.
    var encoded: String {
        var bytes: [UInt8] = []
        for (index, pair) in self.pairs.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: "&")) }
            Self.encode(pair.name, into: &bytes)
            bytes.append(UInt8(ascii: "="))
            Self.encode(pair.value, into: &bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func encode(_ text: String, into bytes: inout [UInt8]) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "*"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                bytes.append(byte)
            case UInt8(ascii: " "): bytes.append(UInt8(ascii: "+"))
            default: bytes.appendPercentEncoded(byte)
            }
        }
    }
}

extension [UInt8] {
    mutating func appendPercentEncoded(_ byte: UInt8) {
        let digits: StaticString = "0123456789ABCDEF"
        self.append(UInt8(ascii: "%"))
        self.append(digits.utf8Start[Int(byte >> 4)])
        self.append(digits.utf8Start[Int(byte & 0x0F)])
    }
}
