import Synchronization

/// Counts the connections that were not taken, by reason.
final class ConnectionRefusals: Sendable {
    enum Reason: String, CaseIterable, Sendable {
        /// ``Limits/maximumConnections``.
        case limit
        /// ``Limits/maximumConnectionsPerAddress``.
        case address
        /// ``WebSocketCrossServerAdapter/Configuration/allowedOrigins``.
        case origin
        /// No file descriptor was left; the connection waits in the backlog. Counts the attempts to accept.
        case files
    }

    private let counts = Mutex<[Reason: Int]>([:])

    func count(_ reason: Reason) {
        self.counts.withLock { $0[reason, default: 0] += 1 }
    }

    subscript(reason: Reason) -> Int { self.counts.withLock { $0[reason, default: 0] } }

    var total: Int { self.counts.withLock { $0.values.reduce(0, +) } }
}
