import Crypto

/// How a server that leaves is believed at once: with its proof of life it gives the hash of a secret, and with its
/// farewell the secret.
struct Farewell: Sendable {
    let secret: String
    let seal: String

    init(using random: inout some RandomNumberGenerator) {
        let words = (0..<2).map { _ in String(random.next() as UInt64, radix: 36) }
        self.secret = words.joined(separator: "-")
        self.seal = Self.seal(of: self.secret)
    }

    /// Half of it: 128 bits are more than anyone can search.
    static func seal(of secret: String) -> String {
        SHA256.hash(data: Array(secret.utf8)).prefix(16).map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }.joined()
    }
}

/// What a membership has dropped because there was too much of it.
package struct MembershipOverflows: Sendable, Hashable {
    /// Servers that had not proved that they live when others took their place.
    package var candidates = 0
    /// Servers that have proved it and are one too many.
    package var members = 0
    /// Questions for a proof of this server's life that were one too many.
    package var questions = 0
}
