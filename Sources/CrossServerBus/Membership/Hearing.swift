package import NIOCore

/// Whether this server may believe that another one has died.
///
/// Who hears nobody, or did so a moment ago, cannot tell the death of others from its own deafness: they may live, and do what
/// they were asked. So what waits for them goes on waiting until this server has heard well for as long as it takes to
/// notice that somebody lives.
package struct Hearing: Sendable {
    private let patience: TimeAmount
    /// Since when this server hears anybody at all.
    private var since: NIODeadline?
    /// Those that have fallen silent while it could not hear.
    package private(set) var undecided: Set<Holder> = []

    /// - Parameter patience: for how long one has to hear well.
    package init(patience: TimeAmount = Membership.Configuration().deadAfter) {
        self.patience = patience
    }

    /// Whether the silence of another one means something.
    package func isGood(now: NIODeadline) -> Bool {
        self.since.map { now - $0 >= self.patience } ?? false
    }

    /// A server has fallen silent.
    ///
    /// - Returns: whether it is sure that it has died.
    package mutating func fellSilent(_ server: Holder, now: NIODeadline) -> Bool {
        if self.isGood(now: now) { return true }
        self.undecided.insert(server)
        return false
    }

    /// A server is in the cluster (again).
    ///
    /// - Returns: former lives of its name, which are over.
    package mutating func joined(_ server: Holder) -> [Holder] {
        self.undecided.remove(server)
        let former = self.undecided.filter { $0.name == server.name }
        self.undecided.subtract(former)
        return Array(former)
    }

    /// To be called ten times a second.
    ///
    /// - Parameter hears: whether a link brings this server its own messages.
    /// - Returns: those of whom it is sure now that they have died.
    package mutating func update(hears: Bool, now: NIODeadline) -> [Holder] {
        self.since = hears ? self.since ?? now : nil
        guard !self.undecided.isEmpty, self.isGood(now: now) else { return [] }
        defer { self.undecided = [] }
        return self.undecided.sorted { ($0.name, $0.incarnation) < ($1.name, $1.incarnation) }
    }
}
