import Synchronization

/// What the connections of one server hold in memory, and how much they may hold. Used from any thread.
///
/// A connection counts what it holds in a ``MemoryAccount`` of its own and tells of it in steps, so that a message costs
/// nothing here.
package final class MemoryBudget: Sendable {
    /// What memory is held for.
    package enum Part: String, CaseIterable, Sendable {
        /// Read and not decoded yet: unfinished messages above all.
        case received
        /// Messages that wait for handlers, or that handlers have which have not ended.
        case queued
        /// Messages that the kernel has not taken yet. One that waits for a thousand clients counts a thousand times.
        case sending
        /// The streams of permessage-deflate.
        case compression
    }

    /// In bytes.
    package let limit: Int
    private let received = Atomic<Int>(0)
    private let queued = Atomic<Int>(0)
    private let sending = Atomic<Int>(0)
    private let compression = Atomic<Int>(0)

    package init(limit: Int) {
        self.limit = limit
    }

    package var used: Int { Part.allCases.reduce(0) { $0 + self.bytes(of: $1) } }

    package var isExceeded: Bool { self.used > self.limit }

    package func bytes(of part: Part) -> Int {
        switch part {
        case .received: self.received.load(ordering: .relaxed)
        case .queued: self.queued.load(ordering: .relaxed)
        case .sending: self.sending.load(ordering: .relaxed)
        case .compression: self.compression.load(ordering: .relaxed)
        }
    }

    package func add(_ bytes: Int, to part: Part) {
        switch part {
        case .received: self.received.add(bytes, ordering: .relaxed)
        case .queued: self.queued.add(bytes, ordering: .relaxed)
        case .sending: self.sending.add(bytes, ordering: .relaxed)
        case .compression: self.compression.add(bytes, ordering: .relaxed)
        }
    }
}

/// What one connection holds, as it has last told the budget.
struct MemoryAccount {
    private(set) var received = 0
    private(set) var queued = 0
    private(set) var sending = 0
    private(set) var compression = 0

    /// A difference of fewer bytes is told only now and then.
    static let step = 16_384

    init(received: Int = 0, queued: Int = 0, sending: Int = 0, compression: Int = 0) {
        self.received = received
        self.queued = queued
        self.sending = sending
        self.compression = compression
    }

    var total: Int { self.received + self.queued + self.sending + self.compression }

    /// Whether a part differs by a step.
    func differs(from other: MemoryAccount) -> Bool {
        abs(self.received - other.received) >= Self.step || abs(self.queued - other.queued) >= Self.step
            || abs(self.sending - other.sending) >= Self.step || abs(self.compression - other.compression) >= Self.step
    }

    /// Tells the budget of the differences.
    mutating func change(to new: MemoryAccount, in budget: MemoryBudget) {
        if new.received != self.received { budget.add(new.received - self.received, to: .received) }
        if new.queued != self.queued { budget.add(new.queued - self.queued, to: .queued) }
        if new.sending != self.sending { budget.add(new.sending - self.sending, to: .sending) }
        if new.compression != self.compression { budget.add(new.compression - self.compression, to: .compression) }
        self = new
    }
}
