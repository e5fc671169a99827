import CrossServerBus
import DequeModule

/// A server's way to one Redis server.
final class SimulatedLink {
    struct Outstanding {
        var id: Int
        var ticket: DeliveryTicket?
        var sentAt: Int64
    }

    let link: BusLink
    let redis: SimulatedRedis
    var publisher: Connection?
    var subscriber: Connection?
    var acknowledged: Set<String> = []
    var outstanding = Deque<Outstanding>()
    var lastID = 0
    var isRemoved = false
    /// When it was connected, or known to be proved.
    var lastGood: Int64 = 0
    var wasUsable = (publish: false, receive: false)

    init(_ number: Int, _ redis: SimulatedRedis) {
        self.link = BusLink(number: number)
        self.redis = redis
    }
}
