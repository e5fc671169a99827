import NIOCore

/// Bytes that all clients of a broker hold: what they have sent and is not read yet, what waits for them, and their
/// subscriptions. On the event loop.
final class BrokerMemory {
    private(set) var used = 0

    func add(_ bytes: Int) {
        self.used &+= bytes
    }

    func remove(_ bytes: Int) {
        self.used &-= bytes
    }
}

@available(*, unavailable)
extension BrokerMemory: Sendable {}

/// A message that is long enough to be shared by all for whom it waits. It counts once, until none of them has it.
final class SharedBrokerMessage {
    let bytes: ByteBuffer
    private let memory: BrokerMemory

    init(_ bytes: ByteBuffer, _ memory: BrokerMemory) {
        self.bytes = bytes
        self.memory = memory
        memory.add(bytes.readableBytes)
    }

    deinit {
        self.memory.remove(self.bytes.readableBytes)
    }
}

@available(*, unavailable)
extension SharedBrokerMessage: Sendable {}
