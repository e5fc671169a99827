public import NIOCore

/// A value of the Redis protocol, RESP2 or RESP3.
public enum RESPValue: Sendable, Hashable {
    case simpleString(String)
    case simpleError(String)
    case integer(Int64)
    case bulkString(ByteBuffer)
    case null
    case array([RESPValue])
}
