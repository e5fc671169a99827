import DequeModule
import Synchronization

/// Shares the turns of an event loop between its connections: each handles a part of what was read from it, and what is left
/// over goes on in a later turn, first come, first served. A value without an event loop.
///
/// The unit of work is about that of a small message, some microseconds at most.
struct InboundTurns<Member> {
    /// What is handled in one turn of all connections together; `.max` for no bound.
    let work: Int
    /// The work of this turn so far.
    private(set) var spent = 0
    private var waiting: Deque<Member> = []

    /// However many share a turn, each may handle so much: less would be lost to changing between them.
    static var minimumShare: Int { 16 }

    init(work: Int) {
        self.work = work
    }

    /// Nothing more is begun in this turn.
    var isOver: Bool { self.spent >= self.work }

    var isEmpty: Bool { self.waiting.isEmpty }
    var count: Int { self.waiting.count }

    /// How far ``spent`` may grow through the one whose turn it is now.
    ///
    /// - Parameter isNarrow: each gets the least share.
    func limit(isNarrow: Bool = false) -> Int {
        guard self.work < .max else { return .max }
        return self.spent &+ (isNarrow ? Self.minimumShare : max(self.work / (self.count + 1), Self.minimumShare))
    }

    mutating func spend(_ work: Int) { self.spent &+= work }

    mutating func begin() { self.spent = 0 }

    mutating func append(_ member: Member) { self.waiting.append(member) }

    mutating func popFirst() -> Member? { self.waiting.popFirst() }
}

/// How many deliveries wait to be carried out on the event loops of a server, each message to each client counted: who
/// causes them must not be faster than who carries them out. Used from any thread.
package final class DeliveryBacklog: Sendable {
    private let deliveries = Atomic<Int>(0)

    /// Beyond, little is handled of what clients send. A loop carries out so many in some milliseconds.
    static let maximum = 16_384

    package init() {}

    package func add(_ deliveries: Int) {
        self.deliveries.add(deliveries, ordering: .relaxed)
    }

    var isOver: Bool { self.deliveries.load(ordering: .relaxed) > Self.maximum }
}
