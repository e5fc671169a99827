/// One member of Sec-WebSocket-Extensions (RFC 6455, section 9.1).
struct ExtensionOffer: Equatable {
    struct Parameter: Equatable {
        var name: String
        var value: String?
    }

    var name: String
    var parameters: [Parameter] = []

    init(name: String, parameters: [Parameter] = []) {
        self.name = name
        self.parameters = parameters
    }

    /// Empty members of the list are skipped (RFC 9110, section 5.6.1).
    ///
    /// - Returns: nil when the syntax of a member is wrong.
    static func parse(_ values: [String]) -> [ExtensionOffer]? {
        var offers: [ExtensionOffer] = []
        for member in Self.members(of: values) {
            guard let offer = ExtensionOffer(member) else { return nil }
            offers.append(offer)
        }
        return offers
    }

    /// Those members of the list whose syntax is right: a server declines what it does not understand.
    static func understood(_ values: [String]) -> [ExtensionOffer] {
        Self.members(of: values).compactMap { ExtensionOffer($0) }
    }

    private static func members(of values: [String]) -> [ArraySlice<UInt8>] {
        values.flatMap { value in
            var isQuoted = false
            var isEscaped = false
            return Array(value.utf8).split { byte in
                if isEscaped {
                    isEscaped = false
                } else if isQuoted, byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isQuoted.toggle()
                }
                return byte == UInt8(ascii: ",") && !isQuoted
            }
        }
        .filter { !$0.allSatisfy { $0 == 0x20 || $0 == 0x09 } }
    }

    private init?(_ member: ArraySlice<UInt8>) {
        var reader = Reader(rest: member)
        guard let offer = reader.readOffer() else { return nil }
        self = offer
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        /// - Returns: nil when the syntax is wrong, or something is left.
        mutating func readOffer() -> ExtensionOffer? {
            guard let name = self.readToken() else { return nil }
            var offer = ExtensionOffer(name: name)
            while self.skip(UInt8(ascii: ";")) {
                guard let name = self.readToken() else { return nil }
                var parameter = Parameter(name: name)
                if self.skip(UInt8(ascii: "=")) {
                    guard let value = self.rest.first == UInt8(ascii: "\"") ? self.readQuoted() : self.readToken()
                    else { return nil }
                    parameter.value = value
                }
                offer.parameters.append(parameter)
            }
            return self.rest.isEmpty ? offer : nil
        }

        /// Skips the separator and the spaces around it.
        mutating func skip(_ separator: UInt8) -> Bool {
            self.skipSpaces()
            guard self.rest.first == separator else { return false }
            self.rest.removeFirst()
            self.skipSpaces()
            return true
        }

        private mutating func skipSpaces() {
            self.rest = self.rest.drop { $0 == 0x20 || $0 == 0x09 }
        }

        private mutating func readToken() -> String? {
            self.skipSpaces()
            let token = self.rest.prefix(while: HTTPTokens.isTokenByte)
            self.rest = self.rest.dropFirst(token.count)
            return token.isEmpty ? nil : String(decoding: token, as: UTF8.self)
        }

        /// A quoted string must be a token once it is unquoted.
        private mutating func readQuoted() -> String? {
            self.rest.removeFirst()
            var value: [UInt8] = []
            while let byte = self.rest.popFirst() {
                switch byte {
                case UInt8(ascii: "\""):
                    return HTTPTokens.isToken(value) ? String(decoding: value, as: UTF8.self) : nil
                case UInt8(ascii: "\\"):
                    guard let escaped = self.rest.popFirst() else { return nil }
                    value.append(escaped)
                default:
                    value.append(byte)
                }
            }
            return nil
        }
    }
}
