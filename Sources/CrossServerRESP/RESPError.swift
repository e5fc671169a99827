/// Why bytes could not be read. Where the next value begins is unknown then: the connection has to be closed.
public enum RESPError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The bytes are not of the protocol.
    case invalid(String)
    /// A limit of ``RESPLimits`` was passed.
    case limitExceeded(String)

    /// In the words of Redis where it has some.
    public var description: String {
        switch self {
        case .invalid(let message), .limitExceeded(let message): message
        }
    }
}
