/// MessagePack's timestamp, the extension type -1.
public struct MessagePackTimestamp: Sendable, Hashable {
    /// Since 1970-01-01T00:00:00Z, rounded down.
    public var seconds: Int64
    /// To be added to the seconds; at most 999,999,999.
    public let nanoseconds: UInt32

    /// - Parameter nanoseconds: must be at most 999,999,999; more is a programming error.
    public init(seconds: Int64, nanoseconds: UInt32 = 0) {
        precondition(nanoseconds < 1_000_000_000, "a timestamp has less than a second of nanoseconds")
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    static let type: Int8 = -1

    /// - Returns: nil when the extension is no timestamp in one of the three forms of the specification.
    init?(type: Int8, _ data: UnsafeRawBufferPointer) {
        guard type == Self.type else { return nil }
        let seconds: Int64
        var nanoseconds: UInt32 = 0
        switch data.count {
        case 4: seconds = Int64(UInt32(bigEndian: data.loadUnaligned(as: UInt32.self)))
        case 8:
            let value = UInt64(bigEndian: data.loadUnaligned(as: UInt64.self))
            seconds = Int64(value & 0x3_FFFF_FFFF)
            nanoseconds = UInt32(value >> 34)
        case 12:
            seconds = Int64(bigEndian: data.loadUnaligned(fromByteOffset: 4, as: Int64.self))
            nanoseconds = UInt32(bigEndian: data.loadUnaligned(as: UInt32.self))
        default: return nil
        }
        guard nanoseconds < 1_000_000_000 else { return nil }
        self.init(seconds: seconds, nanoseconds: nanoseconds)
    }
}

extension OutputBytes {
    /// Writes the shortest of the three forms that holds the timestamp.
    mutating func writeMessagePack(_ timestamp: MessagePackTimestamp) {
        if timestamp.nanoseconds == 0, let seconds = UInt32(exactly: timestamp.seconds) {
            self.write(0xD6)
            self.write(integer: MessagePackTimestamp.type)
            self.write(integer: seconds)
        } else if 0..<(1 << 34) ~= timestamp.seconds {
            self.write(0xD7)
            self.write(integer: MessagePackTimestamp.type)
            self.write(integer: UInt64(timestamp.nanoseconds) << 34 | UInt64(timestamp.seconds))
        } else {
            self.write(0xC7)
            self.write(12)
            self.write(integer: MessagePackTimestamp.type)
            self.write(integer: timestamp.nanoseconds)
            self.write(integer: timestamp.seconds)
        }
    }
}
