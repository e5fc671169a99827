import CrossServer
import CrossServerWebSocket
import Logging
import NIOCore
import Synchronization

/// The connections of a port that are no adapter's: of HTTP, or not known yet.
final class SharedPortConnections: Sendable {
    let limits: Limits
    private let table: ConnectionTable
    private let acceptFailed: @Sendable (IOError, Logger) -> Void
    private let isWatched = Atomic(false)

    init(limits: Limits, acceptFailed: @escaping @Sendable (IOError, Logger) -> Void) {
        self.limits = limits
        self.table = ConnectionTable(limits: limits)
        self.acceptFailed = acceptFailed
    }

    /// Counts a connection.
    ///
    /// - Returns: what the connection is told when it is one too many.
    func admit(_ channel: any Channel, logger: Logger) -> Result<ConnectionTable.Admission, UpgradeRejection> {
        self.watch(channel.parent, logger)
        switch self.table.admit(channel.remoteAddress) {
        case .admitted(let admission): return .success(admission)
        case .refused(let refusal): return .failure(UpgradeRejection(refusal))
        }
    }

    func release(_ admission: ConnectionTable.Admission) {
        self.table.release(admission)
    }

    /// Lets the listening socket rest when it has to.
    private func watch(_ listener: (any Channel)?, _ logger: Logger) {
        guard let listener, !self.isWatched.exchange(true, ordering: .relaxed) else { return }
        let failed = self.acceptFailed
        listener.eventLoop.execute {
            do {
                let pause = AcceptPause { failed($0, logger) }
                try listener.pipeline.syncOperations.addHandler(pause, position: .first)
            } catch {
                logger.debug("the listening socket has closed", metadata: ["error": "\(error)"])
            }
        }
    }
}
