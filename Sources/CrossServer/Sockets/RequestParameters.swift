public import CrossServerWebSocket

/// What a client put into the URL of its connection: `?id=7&tag=a&tag=b`.
///
/// Decoded as browsers encode it (`application/x-www-form-urlencoded`): `+` is a space, bytes that are not UTF-8 become
/// U+FFFD.
public struct RequestParameters: Sendable, Hashable {
    private var values: [String: [String]] = [:]

    init(query: Substring.UTF8View, lowercasingKeys: Bool) {
        for pair in query.split(separator: UInt8(ascii: "&")) {
            let separator = pair.firstIndex(of: UInt8(ascii: "="))
            let key = Self.decoded(pair[..<(separator ?? pair.endIndex)])
            let value = separator.map { Self.decoded(pair[pair.index(after: $0)...]) } ?? ""
            self.values[lowercasingKeys ? key.lowercased() : key, default: []].append(value)
        }
    }

    /// The value of a key; of a repeated one the first.
    public subscript(key: String) -> String? { self.values[key]?.first }

    /// All values of a key in their order; empty without the key.
    public func all(_ key: String) -> [String] { self.values[key] ?? [] }

    public var keys: Set<String> { Set(self.values.keys) }

    private static func decoded(_ bytes: Substring.UTF8View) -> String {
        String(decoding: UpgradeRequest.percentDecoded(bytes, plusIsSpace: true), as: UTF8.self)
    }
}

extension UpgradeRequest {
    /// The parameters in the URL's query.
    public var parameters: RequestParameters { self.parameters() }

    /// The parameters in the URL's query.
    ///
    /// - Parameter lowercasingKeys: makes `Id` and `id` the same key.
    public func parameters(lowercasingKeys: Bool = false) -> RequestParameters {
        let target = self.target.utf8
        let query = target.drop { $0 != UInt8(ascii: "?") }.dropFirst().prefix { $0 != UInt8(ascii: "#") }
        return RequestParameters(query: query, lowercasingKeys: lowercasingKeys)
    }

    /// The path without its leading slashes: `chat` for `ws://host/chat?id=7`.
    public var relativePath: String { String(self.path.drop { $0 == "/" }) }
}
