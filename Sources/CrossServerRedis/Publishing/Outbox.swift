import CrossServerBus
import CrossServerRESP
import NIOCore
import Synchronization

/// Where publishes wait for the event loop of their link, as the bytes that it will write.
///
/// Any thread appends; the event loop takes all that is there at once. While it waits for replies, more is collected until
/// one comes: each write and each waking costs more than many messages.
final class Outbox: Sendable {
    enum Outcome {
        /// The event loop has to be told.
        case isDue
        case appended
        case full
        case closed
    }

    struct Batch {
        var bytes: ByteBuffer
        var slots: [PublishSlot]
    }

    private struct State: Sendable {
        var isOpen = false
        /// In this outbox and on the connection.
        var bytesInFlight = 0
        var bytes = ByteBuffer()
        var slots: [PublishSlot] = []
        /// Whether the event loop was told, or looks by itself when a reply comes.
        var isAwaited = false
        /// How large the last batch was: the next is most often about as large.
        var lastBatch = (bytes: 0, slots: 0)

        /// Whether it does not wait for a reply.
        var isMuch: Bool { self.slots.count >= 64 || self.bytes.readableBytes >= 16 << 10 }
    }

    private let maximumBytes: Int
    private let state = Mutex(State())
    /// What a command takes besides channel and message, and what a slot takes.
    private static let overhead = 96

    init(maximumBytes: Int) {
        self.maximumBytes = maximumBytes
    }

    /// A message that is longer than the bound is taken when nothing else is in flight.
    func append(_ message: ByteBuffer, to channel: String, outcome: PublishOutcome) -> Outcome {
        let size = message.readableBytes + channel.utf8.count + Self.overhead
        return self.state.withLock { state in
            guard state.isOpen else { return .closed }
            guard state.bytesInFlight == 0 || state.bytesInFlight + size <= self.maximumBytes else { return .full }
            state.bytesInFlight += size
            if state.slots.isEmpty {
                state.bytes.reserveCapacity(min(state.lastBatch.bytes, 64 << 10))
                state.slots.reserveCapacity(min(state.lastBatch.slots, 512))
            }
            let wasMuch = state.isMuch
            state.bytes.writePublish(channel: channel, message: message)
            state.slots.append(PublishSlot(outcome: outcome, bytes: size))
            defer { state.isAwaited = true }
            return !state.isAwaited || (state.isMuch && !wasMuch) ? .isDue : .appended
        }
    }

    /// - Parameter hasReplies: whether replies are owed, so that what comes now can wait for the next of them.
    func take(hasReplies: Bool) -> Batch? {
        self.state.withLock { state in
            state.isAwaited = hasReplies || !state.slots.isEmpty
            guard !state.slots.isEmpty else { return nil }
            let batch = Batch(bytes: state.bytes, slots: state.slots)
            state.lastBatch = (batch.bytes.readableBytes, batch.slots.count)
            state.bytes = ByteBuffer()
            state.slots = []
            return batch
        }
    }

    /// These bytes were answered, or given up.
    func release(_ bytes: Int) {
        self.state.withLock { $0.bytesInFlight -= bytes }
    }

    func open() {
        self.state.withLock { $0.isOpen = true }
    }

    /// - Returns: what was never sent.
    func close() -> [PublishSlot] {
        self.state.withLock { state in
            let slots = state.slots
            state.isOpen = false
            state.isAwaited = false
            state.bytes = ByteBuffer()
            state.slots = []
            for slot in slots { state.bytesInFlight -= slot.bytes }
            return slots
        }
    }

    var bytesInFlight: Int { self.state.withLock { $0.bytesInFlight } }
}
