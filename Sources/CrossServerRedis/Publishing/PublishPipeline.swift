import CrossServerBus
import CrossServerRESP
import DequeModule
import NIOCore

typealias PublishCompletion = @Sendable (Result<Publication, BusError>) -> Void

/// Who learns what became of a message.
enum PublishOutcome: Sendable {
    case nobody
    case completion(PublishCompletion)
    /// The receiver of the bus, of a failure alone.
    case receiver(UInt64)

    init(_ completion: PublishCompletion?) {
        self = completion.map { .completion($0) } ?? .nobody
    }
}

/// A command whose reply is owed.
struct PublishSlot: Sendable {
    enum Kind { case publish, probe, role, counts }

    var outcome: PublishOutcome
    /// What it counts in the bound on bytes in flight.
    var bytes: Int
    var kind = Kind.publish
}

/// Gets how many subscribers channels have; nil when the server does not say.
typealias CountCompletion = @Sendable ([Int]?) -> Void

/// The commands that were written to a connection and not answered yet, in their order, and since when.
struct PublishPipeline {
    enum Answer: Equatable {
        /// A publish was answered.
        case publication(receivers: Int)
        case refused(String)
        case probe
        /// The server is a master, or does not say.
        case role(isTold: Bool)
        /// Nil when the server does not say.
        case counts([Int]?)
    }

    private var slots: Deque<PublishSlot> = []
    private var batches: Deque<Batch> = []

    private struct Batch {
        var count: Int
        var sent: NIODeadline
        var isPublish: Bool
    }

    /// When the oldest publish was written.
    var oldest: NIODeadline? { self.batches.first { $0.isPublish }?.sent }

    var isEmpty: Bool { self.slots.isEmpty }

    mutating func sent(_ slots: [PublishSlot], at now: NIODeadline) {
        guard !slots.isEmpty else { return }
        self.slots.append(contentsOf: slots)
        self.batches.append(Batch(count: slots.count, sent: now, isPublish: true))
    }

    mutating func probeSent(_ kind: PublishSlot.Kind = .probe, at now: NIODeadline) {
        self.slots.append(PublishSlot(outcome: .nobody, bytes: 0, kind: kind))
        self.batches.append(Batch(count: 1, sent: now, isPublish: false))
    }

    /// Matches a reply with the oldest command.
    ///
    /// - Throws: ``RedisFailure`` with `protocolViolation` when it is no reply to that command.
    mutating func received(_ reply: RESPValue) throws(RedisFailure) -> (PublishSlot, Answer) {
        guard let slot = self.slots.first else {
            throw RedisFailure(.protocolViolation, "the server replied to no command")
        }
        let answer: Answer
        if slot.kind == .counts {
            answer = .counts(Self.counts(reply))
        } else if slot.kind == .probe {
            // A server that does not allow PING lives, one that is not ready is of no use.
            if let failure = reply.errorMessage.flatMap(RedisFailure.init(notReady:)) { throw failure }
            answer = .probe
        } else if slot.kind == .role {
            if let failure = RedisFailure(roleReply: reply) { throw failure }
            answer = .role(isTold: reply.errorMessage == nil)
        } else if case .integer(let receivers) = reply {
            answer = .publication(receivers: Int(clamping: receivers))
        } else if let message = reply.errorMessage {
            answer = .refused(message)
        } else {
            throw RedisFailure(.protocolViolation, "the reply to PUBLISH is no number")
        }
        self.slots.removeFirst()
        self.batches[0].count -= 1
        if self.batches[0].count == 0 { self.batches.removeFirst() }
        return (slot, answer)
    }

    /// Channels and numbers by turns.
    private static func counts(_ reply: RESPValue) -> [Int]? {
        guard case .array(let elements) = reply, elements.count.isMultiple(of: 2) else { return nil }
        var counts: [Int] = []
        for index in stride(from: 1, to: elements.count, by: 2) {
            guard case .integer(let count) = elements[index] else { return nil }
            counts.append(Int(clamping: count))
        }
        return counts
    }

    mutating func removeAll() -> Deque<PublishSlot> {
        defer { self = PublishPipeline() }
        return self.slots
    }
}
