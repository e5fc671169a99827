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
}
