import CrossServerWire

/// Where a Redis server listens.
public enum RedisAddress: Sendable, Hashable, CustomStringConvertible {
    /// A name or address (that of IPv6 without brackets) and a port.
    case tcp(host: String, port: Int)
    case unixSocket(path: String)

    public var description: String {
        switch self {
        case .tcp(let host, let port): endpoint(host: host, port: port)
        case .unixSocket(let path): "unix:\(path)"
        }
    }

    var host: String? {
        if case .tcp(let host, _) = self { host } else { nil }
    }
}
