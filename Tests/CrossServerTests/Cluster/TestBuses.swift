import CrossServerBus
import NIOCore
import Synchronization

/// A bus that can be cut, as when its server's process is killed: nothing goes out, and nobody hears its channels.
final class SeverableBus: ForwardingBus {
    let bus: any Bus
    private let state = Mutex(State())

    private struct State {
        var channels: Set<String> = []
        var isSevered = false
    }

    init(_ bus: any Bus) {
        self.bus = bus
    }

    func sever() {
        let channels = self.state.withLock { state in
            state.isSevered = true
            return Array(state.channels)
        }
        self.bus.unsubscribe(from: channels)
    }

    func mend() {
        let channels = self.state.withLock { state in
            state.isSevered = false
            return Array(state.channels)
        }
        self.bus.subscribe(to: channels)
    }

    func subscribe(to channels: [String]) {
        let isSevered = self.state.withLock { state in
            state.channels.formUnion(channels)
            return state.isSevered
        }
        if !isSevered { self.bus.subscribe(to: channels) }
    }

    func unsubscribe(from channels: [String]) {
        self.state.withLock { $0.channels.subtract(channels) }
        self.bus.unsubscribe(from: channels)
    }

    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        guard !self.state.withLock({ $0.isSevered }) else { throw BusError(.notConnected, "the bus is cut") }
        try self.bus.publish(message, to: channel, over: link, completion: completion)
    }

    func drained(within timeout: Duration) async throws {
        guard !self.state.withLock({ $0.isSevered }) else { return }
        try await self.bus.drained(within: timeout)
    }
}

/// A bus that does not take some messages.
final class RefusingBus: ForwardingBus {
    typealias Refusal = @Sendable (_ channel: String, _ message: ByteBuffer) -> BusError?

    let bus: any Bus
    private let refusal = Mutex<Refusal?>(nil)

    init(_ bus: any Bus) {
        self.bus = bus
    }

    /// - Parameter refusal: why it does not take a message. Nil: it takes all.
    func refuse(_ refusal: Refusal?) { self.refusal.withLock { $0 = refusal } }

    func publish(
        _ message: ByteBuffer,
        to channel: String,
        over link: BusLink?,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(BusError) {
        if let error = self.refusal.withLock({ $0 })?(channel, message) { throw error }
        try self.bus.publish(message, to: channel, over: link, completion: completion)
    }
}
