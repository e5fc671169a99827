import CrossServerRESP
import NIOCore

/// A client of the broker, and what waits to be written to it.
final class BrokerClient {
    enum Closing: Comparable {
        case no
        /// When the replies so far are written. No more commands are read.
        case afterReplies
        /// What waits is dropped.
        case atOnce
    }

    let id: Int
    let address: String
    let localAddress: String
    let connectedAt = NIODeadline.now()
    var lastCommandAt = NIODeadline.now()
    var lastCommand: BrokerCommand?
    var name = ""
    var libraryName = ""
    var libraryVersion = ""
    var version = RESPVersion.resp2
    var isAuthenticated: Bool
    var channels: Set<ByteBuffer> = []
    var patterns: Set<ByteBuffer> = []
    var output: OutputQueue
    /// Of commands that are not all there.
    var inputBytes = 0
    /// What its subscriptions take.
    var subscriptionBytes = 0
    var closing = Closing.no
    /// Whether it is in the broker's list of those that have something to write or to close.
    var isListed = false
    /// Nil when there is none any more.
    var connection: BrokerHandler?

    init(id: Int, address: String, localAddress: String, isAuthenticated: Bool, memory: BrokerMemory) {
        self.output = OutputQueue(memory)
        self.id = id
        self.address = address
        self.localAddress = localAddress
        self.isAuthenticated = isAuthenticated
    }

    var subscriptionCount: Int { self.channels.count + self.patterns.count }

    /// What it shares with others included.
    var heldBytes: Int { self.inputBytes + self.output.byteCount + self.subscriptionBytes }

    var isSubscriber: Bool { self.subscriptionCount > 0 }
}

@available(*, unavailable)
extension BrokerClient: Sendable {}
