import CrossServerRESP
import CrossServerWire

/// Why there is no connection to a Redis server, or none any more.
struct RedisFailure: Error, Sendable, Equatable, CustomStringConvertible {
    enum Kind: Sendable, Equatable {
        /// No connection, or none that TLS accepts.
        case unreachable
        /// No connection that is ready within the connect timeout.
        case timedOut
        /// Name or password are wrong, or missing.
        case authentication
        /// The server loads its data, or has lost its master.
        case notReady
        /// A replica, where the master is wanted.
        case wrongRole
        /// The server answered a command that is needed with an error.
        case refused
        /// The connection was closed by the server or the network.
        case lost
        /// A publish or a probe was not answered in time.
        case unanswered
        /// The server sent what is not the protocol, or more than the limits allow.
        case protocolViolation
        /// No Sentinel names the master, no member of the cluster is known.
        case discovery
        /// The link was removed, or the bus has ended.
        case stopped
    }

    var kind: Kind
    /// Fit for a log: what a server says is escaped and bounded.
    let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = LogText(message).description
    }

    var description: String { self.message }
}

extension RedisFailure {
    static let closedByServer = RedisFailure(.lost, "the connection was closed")

    /// - Parameter reply: to ROLE. Nil: it is that of a master, or says nothing.
    init?(roleReply reply: RESPValue) {
        guard case .array(let elements) = reply, let role = elements.first?.string, role != "master" else { return nil }
        self.init(.wrongRole, "the server is a \(role.prefix(20)), not the master")
    }

    /// Nil: the error says nothing of the kind.
    init?(notReady error: String) {
        guard ["LOADING", "MASTERDOWN", "BUSY"].contains(error.prefix { $0 != " " }) else { return nil }
        self.init(.notReady, "the server is not ready: \(error)")
    }
}
