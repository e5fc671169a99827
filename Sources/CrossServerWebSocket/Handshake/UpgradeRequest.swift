public import HTTPTypes
public import NIOCore

/// What a client asked for in its handshake.
public struct UpgradeRequest: Sendable {
    public var method: String
    /// As sent: `/a?id=7`.
    public var target: String
    public var headers: HTTPFields
    public var remoteAddress: SocketAddress?

    public init(
        method: String = "GET",
        target: String,
        headers: HTTPFields = [:],
        remoteAddress: SocketAddress? = nil
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.remoteAddress = remoteAddress
    }

    /// The path, percent-decoded, without query and fragment. What is not UTF-8 becomes U+FFFD.
    public var path: String {
        var bytes = Substring(self.target).utf8
        if bytes.first != UInt8(ascii: "/"), let scheme = self.target.range(ofFirst: "://") {
            let authority = self.target.utf8[scheme.upperBound...]
            guard let slash = authority.firstIndex(of: UInt8(ascii: "/")) else { return "/" }
            bytes = authority[slash...]
        }
        let path = bytes.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        return String(decoding: Self.percentDecoded(path), as: UTF8.self)
    }

    /// The subprotocols that the client offered, its favourite first. What is no token is left out.
    public var subprotocols: [String] {
        HTTPTokens.list(self.headers[values: .secWebSocketProtocol])
    }

    /// - Parameter plusIsSpace: as in a query of `application/x-www-form-urlencoded`.
    package static func percentDecoded(_ bytes: Substring.UTF8View, plusIsSpace: Bool = false) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            index = bytes.index(after: index)
            let digits = bytes[index...].prefix(2)
            if byte == UInt8(ascii: "%"), digits.count == 2, let value = Self.hexadecimal(digits) {
                decoded.append(value)
                index = digits.endIndex
            } else {
                decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return decoded
    }

    private static func hexadecimal(_ digits: Substring.UTF8View) -> UInt8? {
        var value: UInt8 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | (digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | (digit - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | (digit - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return value
    }
}

extension String {
    fileprivate func range(ofFirst part: StaticString) -> Range<String.Index>? {
        let count = part.utf8CodeUnitCount
        return part.withUTF8Buffer { pattern in
            var start = self.utf8.startIndex
            while let end = self.utf8.index(start, offsetBy: count, limitedBy: self.utf8.endIndex) {
                if self.utf8[start..<end].elementsEqual(pattern) { return start..<end }
                start = self.utf8.index(after: start)
            }
            return nil
        }
    }
}
