import NIOCore

/// The commands that the broker knows.
enum BrokerCommand: String, CaseIterable {
    case auth, client, command, config, echo, hello, info, ping, psubscribe, publish, pubsub, punsubscribe, quit, reset,
        role, select, subscribe, unsubscribe

    private static let byName = Dictionary(uniqueKeysWithValues: Self.allCases.map { ($0.rawValue, $0) })

    init?(name: ByteBuffer) {
        guard let name = name.lowercasedWord, let command = Self.byName[name] else { return nil }
        self = command
    }

    /// How many arguments it takes, its name included.
    func accepts(argumentCount count: Int) -> Bool {
        switch self {
        case .command, .hello, .info, .punsubscribe, .quit, .unsubscribe: true
        case .reset, .role: count == 1
        case .ping: count <= 2
        case .auth, .client, .config, .psubscribe, .pubsub, .subscribe: count >= 2
        case .echo, .select: count == 2
        case .publish: count == 3
        }
    }

    var needsAuthentication: Bool {
        switch self {
        case .auth, .hello, .quit, .reset: false
        default: true
        }
    }

    /// With RESP2 a subscriber cannot tell replies from messages, and may send only these.
    var isAllowedForSubscribers: Bool {
        switch self {
        case .ping, .psubscribe, .punsubscribe, .quit, .reset, .subscribe, .unsubscribe: true
        default: false
        }
    }
}

extension ByteBuffer {
    /// The lower-case text of what can be the name of a command; nil when it is too long for one.
    var lowercasedWord: String? {
        guard self.readableBytes <= 15 else { return nil }
        return self.withUnsafeReadableBytes { bytes in
            String(unsafeUninitializedCapacity: bytes.count) { target in
                for (index, byte) in bytes.enumerated() {
                    let isCapital = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
                    target[index] = isCapital ? byte | 0x20 : byte
                }
                return bytes.count
            }
        }
    }
}
