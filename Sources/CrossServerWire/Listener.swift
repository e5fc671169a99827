public import Synchronization

/// One registered handler of an event: what it runs, and whether it still may.
@usableFromInline
package final class Listener<Arguments>: Sendable {
    @usableFromInline
    package enum Body: Sendable {
        case plain(@Sendable (Arguments) throws -> Void)
        case asynchronous(@Sendable (Arguments) async throws -> Void)
    }

    @usableFromInline
    package let body: Body
    package let tag: String?
    @usableFromInline
    package let isOnce: Bool
    /// Whether what comes next does not wait for its end.
    package let isConcurrent: Bool
    /// Whether the end of its connection does not cancel it.
    package let outlivesConnection: Bool
    @usableFromInline
    let isActive = Atomic<Bool>(true)

    package init(
        _ body: Body,
        tag: String?,
        once: Bool,
        isConcurrent: Bool = false,
        outlivesConnection: Bool = false
    ) {
        self.body = body
        self.tag = tag
        self.isOnce = once
        self.isConcurrent = isConcurrent
        self.outlivesConnection = outlivesConnection
    }

    /// Whether the listener may run now. A once listener may exactly one time, whoever asks and however often.
    @inlinable
    package func claim() -> Bool {
        self.isOnce
            ? self.isActive.exchange(false, ordering: .acquiringAndReleasing)
            : self.isActive.load(ordering: .acquiring)
    }

    /// Keeps the listener from running again, also in a pass that is under way.
    package func deactivate() {
        self.isActive.store(false, ordering: .releasing)
    }

    package var isSpent: Bool { !self.isActive.load(ordering: .acquiring) }
}

/// The listeners of one event in the order of their registration.
///
/// A value: whoever runs listeners takes a copy under a lock and runs them without it.
@usableFromInline
package struct ListenerList<Arguments>: Sendable {
    @usableFromInline
    package private(set) var listeners: [Listener<Arguments>] = []

    @inlinable
    package init() {}

    @inlinable
    package var isEmpty: Bool { self.listeners.isEmpty }

    /// Adds a listener; once listeners that have run are let go on the way.
    package mutating func add(_ listener: Listener<Arguments>) {
        self.listeners.removeAll { $0.isSpent }
        self.listeners.append(listener)
    }

    /// Removes the listeners with the tag; all of them when the tag is nil.
    package mutating func remove(tag: String?) {
        self.listeners.removeAll { listener in
            guard tag == nil || listener.tag == tag else { return false }
            listener.deactivate()
            return true
        }
    }

    /// Lets go of the listeners that cannot run any more.
    package mutating func removeSpent() {
        self.listeners.removeAll { $0.isSpent }
    }
}

/// Names one registered listener, so that it can be removed.
public struct ListenerHandle: Sendable {
    private let removal: @Sendable () -> Void

    package init(removal: @escaping @Sendable () -> Void) {
        self.removal = removal
    }

    /// Removes the listener; it does not run again. Removing it twice does nothing.
    public func remove() {
        self.removal()
    }
}
