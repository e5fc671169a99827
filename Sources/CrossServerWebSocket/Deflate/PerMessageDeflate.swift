/// The permessage-deflate extension (RFC 7692) as we offer or accept it.
public struct PerMessageDeflate: Sendable {
    /// The largest window of what the server compresses, 9 to 15 bits; other values are clamped. Default 15.
    public var serverMaximumWindowBits = 15
    /// The largest window of what the client compresses, 9 to 15 bits; other values are clamped. Default 15.
    public var clientMaximumWindowBits = 15
    /// Whether the server forgets its window after every message: less memory, less compression. Default false.
    public var serverNoContextTakeover = false
    /// Whether the client forgets its window after every message. Default false.
    public var clientNoContextTakeover = false
    /// zlib's level, 1 (fast) to 9 (small). Default 6.
    public var compressionLevel = 6
    /// zlib's memory level, 1 to 9: compression takes `1 << (memoryLevel + 9)` bytes beside its window. Default 8.
    public var memoryLevel = 8
    /// Messages of fewer bytes are sent uncompressed. Default 64.
    public var minimumSize = 64
    /// How many times larger than its compressed form a message may be once it is larger than 64 KiB. More ends the
    /// connection with 1009. Default 1,000.
    public var maximumRatio = 1_000

    public init() {}
}

/// The parameters that both sides agreed on (RFC 7692, section 7.1).
public struct NegotiatedDeflate: Sendable, Equatable {
    public var serverNoContextTakeover: Bool
    public var clientNoContextTakeover: Bool
    public var serverWindowBits: Int
    public var clientWindowBits: Int

    public init(
        serverNoContextTakeover: Bool = false,
        clientNoContextTakeover: Bool = false,
        serverWindowBits: Int = 15,
        clientWindowBits: Int = 15
    ) {
        self.serverNoContextTakeover = serverNoContextTakeover
        self.clientNoContextTakeover = clientNoContextTakeover
        self.serverWindowBits = serverWindowBits
        self.clientWindowBits = clientWindowBits
    }
}
