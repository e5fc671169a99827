import CrossServerBus
import NIOCore
import Synchronization

/// A bus that can be cut, as when its server's process dies: nothing goes out any more, a goodbye neither.
final class SeverableBus: ForwardingBus {
    let bus: any Bus
    private let isSevered = Atomic(false)

    init(_ bus: any Bus) {
        self.bus = bus
    }

    func sever() { self.isSevered.store(true, ordering: .relaxed) }

    var links: [BusLinkStatus] { self.isSevered.load(ordering: .relaxed) ? [] : self.bus.links }

    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        guard !self.isSevered.load(ordering: .relaxed) else { throw BusError(.notConnected, "the bus is cut") }
        try self.bus.publish(message, to: channel, over: link, completion: completion)
    }
}
