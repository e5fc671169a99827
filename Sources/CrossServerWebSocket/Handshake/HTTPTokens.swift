package import HTTPTypes

/// The lexical rules of HTTP header fields (RFC 9110, section 5.6).
enum HTTPTokens {
    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default:
            false
        }
    }

    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy(Self.isTokenByte)
    }

    static func trimmed(_ bytes: Substring.UTF8View) -> Substring.UTF8View {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        guard let first = bytes.firstIndex(where: { !isSpace($0) }), let last = bytes.lastIndex(where: { !isSpace($0) })
        else { return bytes[bytes.endIndex...] }
        return bytes[first...last]
    }

    /// The tokens in comma-separated lists. Members that are none, as the empty ones, are skipped.
    static func list(_ values: [String]) -> [String] {
        values.flatMap { value in
            Substring(value).utf8.split(separator: UInt8(ascii: ","))
                .map { Self.trimmed($0) }
                .filter { Self.isToken($0) }
                .map { String(Substring($0)) }
        }
    }
}

extension HTTPField.Name {
    // A valid token, so the optional is never nil. HTTPTypes keeps these names from its users, for the sake of HTTP/2.
    package static let hostField = HTTPField.Name("Host")!
    static let transferEncodingField = HTTPField.Name("Transfer-Encoding")!
}
