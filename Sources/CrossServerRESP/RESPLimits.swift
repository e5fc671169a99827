/// What a peer may send. Beyond a limit a parser throws ``RESPError/limitExceeded(_:)`` before it keeps the data.
public struct RESPLimits: Sendable, Hashable {
    /// Bytes of one value or command with everything in it: as much as is buffered while its end is missing. 64 MiB by
    /// default.
    public var maximumLength = 64 << 20

    /// Bytes of one string. 32 MiB by default.
    public var maximumBulkLength = 32 << 20

    /// Bytes of a longer string that ``RESPParser`` passes over without keeping it: a null takes its place. One that is
    /// longer still is an error. 0 by default: none is passed over.
    public var maximumSkippedLength = 0

    /// Bytes of one line: a simple string, an error, a number, an inline command. 64 KiB by default.
    public var maximumLineLength = 64 << 10

    /// Elements of one value or command, those of nested values included; a map's entry is two. 1,048,576 by default.
    public var maximumElements = 1 << 20

    /// Arrays, sets and maps within one another. 16 by default.
    public var maximumDepth = 16

    public init() {}
}
