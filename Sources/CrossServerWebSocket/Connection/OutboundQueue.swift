import DequeModule
import NIOCore

/// Messages that the channel has not taken yet, oldest first. One message takes no allocation.
struct OutboundQueue {
    private var first: EncodedMessage?
    private var rest: Deque<EncodedMessage> = []
    /// Of all frames, before compression.
    private(set) var byteCount = 0

    /// Whether `rest` took memory that is worth giving back.
    private var wasLong = false
    private static let longCount = 64

    var isEmpty: Bool { self.first == nil }
    var count: Int { self.rest.count + (self.first == nil ? 0 : 1) }

    mutating func append(_ message: EncodedMessage) {
        self.byteCount += message.frame.readableBytes
        if self.first == nil {
            self.first = message
        } else {
            self.rest.append(message)
            if self.rest.count > Self.longCount { self.wasLong = true }
        }
    }

    mutating func popFirst() -> EncodedMessage? {
        guard let message = self.first else { return nil }
        self.byteCount -= message.frame.readableBytes
        self.first = self.rest.popFirst()
        if self.first == nil, self.wasLong {
            self.rest = []
            self.wasLong = false
        }
        return message
    }

    mutating func removeAll() {
        self.first = nil
        self.rest = []
        self.byteCount = 0
        self.wasLong = false
    }
}
