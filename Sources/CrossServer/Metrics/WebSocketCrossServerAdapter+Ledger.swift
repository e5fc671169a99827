import CrossServerBus
import NIOCore

extension WebSocketCrossServerAdapter {
    /// What has become of the messages between this server and others. See ``clusterLedger(timeout:)`` for that of all.
    public var deliveryLedger: DeliveryLedger {
        get async {
            do {
                return try await self.transport.eventLoop.submit { self.cluster.ledger() }.get()
            } catch {
                // The event loop has ended, and with it what was counted.
                return DeliveryLedger()
            }
        }
    }

    /// What has become of the messages between the servers, by the server that has counted. Each counts since its start;
    /// of two that answer at different moments one may know of messages that the other has not sent yet.
    ///
    /// - Throws: as ``locate(_:timeout:)``.
    public func clusterLedger(
        timeout: Duration = .seconds(2)
    ) async throws -> ClusterAnswer<[String: DeliveryLedger]> {
        let replies = try await self.cluster.requests.ask(ClusterQuestion.Ledger(), timeout: timeout)
        return ClusterAnswer(value: replies.replies, missing: replies.missing)
    }
}
