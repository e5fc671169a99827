import CrossServerBus
import NIOCore

extension Courier {
    /// What comes of what was received. Called on the event loop.
    protocol Delegate: AnyObject, Sendable {
        func deliver(_ message: ByteBuffer, on channel: String, over link: BusLink)
        func missed(_ gap: DeliveryGap)
        /// A message has waited in vain for a link, and nobody awaits what comes of it.
        func unsent(on channel: String, _ error: BusError)
        func refused(_ problem: String, on channel: String)
        /// Something failed on the link: does it carry messages?
        func doubt(_ link: BusLink)
    }
}
