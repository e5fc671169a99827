public import NIOSSL

/// One Redis or Valkey server that carries messages, and how to connect to it. Behind Sentinel or as a cluster, several
/// servers are one node: any of them passes messages on to the others.
public struct RedisNode: Sendable {
    public enum Endpoint: Sendable, Hashable {
        case server(RedisAddress)
        /// The master of that name, which the Sentinels tell. Followed when it changes.
        case sentinel(master: String, sentinels: [RedisAddress])
        /// Any member of a cluster, another when it goes. The others are found through those given here.
        case cluster([RedisAddress])
    }

    public var endpoint: Endpoint
    /// Asked before every attempt to connect, so that a password may be rotated. Within ``connectTimeout``. Nil: none.
    public var credentials: (@Sendable () async throws -> RedisCredentials)?
    /// For the Sentinels. Nil: none.
    public var sentinelCredentials: (@Sendable () async throws -> RedisCredentials)?
    /// Publish and subscribe know no databases; but some ACLs and proxies do. 0 by default.
    public var database = 0
    /// Nil: plain TCP. Applies to the Sentinels too. Own authorities are its `trustRoots`, a client certificate is its
    /// `certificateChain` and `privateKey`.
    public var tls: TLSConfiguration?
    /// What `CLIENT LIST` shows of the connections. Nil: nothing.
    public var connectionName: String?
    /// From the beginning of an attempt until the connection can be used. 5 s by default.
    public var connectTimeout: Duration = .seconds(5)
    /// Whether the system probes idle TCP connections (`SO_KEEPALIVE`). On by default. The bus has probes of its own.
    public var keepAlive = true

    public init(_ endpoint: Endpoint) {
        self.endpoint = endpoint
    }

    public init(host: String, port: Int = RedisNode.defaultPort) {
        self.init(.server(.tcp(host: host, port: port)))
    }

    public init(unixSocket path: String) {
        self.init(.server(.unixSocket(path: path)))
    }

    public static let defaultPort = 6_379
    public static let defaultSentinelPort = 26_379

    /// Sets credentials that do not change.
    public mutating func setCredentials(_ credentials: RedisCredentials) {
        self.credentials = { credentials }
    }

    /// For people: without secrets.
    public var name: String {
        switch self.endpoint {
        case .server(let address): "\(address)"
        case .sentinel(let master, let sentinels): "\(master)@\(Self.list(sentinels))"
        case .cluster(let members): "cluster \(Self.list(members))"
        }
    }

    private static func list(_ addresses: [RedisAddress]) -> String {
        addresses.map(\.description).joined(separator: ",")
    }

    func validate() throws(BusError) {
        let addresses: [RedisAddress]
        switch self.endpoint {
        case .server(let address): addresses = [address]
        case .sentinel(let master, let sentinels):
            if master.isEmpty { throw BusError(.invalidConfiguration, "the name of the master is missing") }
            if sentinels.isEmpty { throw BusError(.invalidConfiguration, "no Sentinel is given") }
            addresses = sentinels
        case .cluster(let members):
            if members.isEmpty { throw BusError(.invalidConfiguration, "no member of the cluster is given") }
            addresses = members
        }
        for address in addresses {
            switch address {
            case .tcp(let host, let port):
                if host.isEmpty { throw BusError(.invalidConfiguration, "the host is missing") }
                guard 1...65_535 ~= port else {
                    throw BusError(.invalidConfiguration, "the port must be between 1 and 65535")
                }
            case .unixSocket(let path):
                if path.isEmpty { throw BusError(.invalidConfiguration, "the path of the unix socket is missing") }
            }
        }
        if self.database < 0 { throw BusError(.invalidConfiguration, "the database must not be negative") }
        guard self.connectTimeout > .zero, self.connectTimeout <= .seconds(86_400) else {
            throw BusError(.invalidConfiguration, "connectTimeout must be longer than zero and at most a day")
        }
        if let name = self.connectionName, !name.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) {
            throw BusError(.invalidConfiguration, "the connection name must be printable ASCII without spaces")
        }
    }
}
