package import NIOCore

/// A dictionary that forgets what was not used for a while, and keeps a bounded number of values.
///
/// Two generations: what is used moves to the young one. When that is half full or old enough it becomes the old one, and
/// the old one is forgotten.
package struct RecentValues<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private var rotatesAt: NIODeadline?
    private let maximumCount: Int
    private let halfLife: TimeAmount

    /// - Parameters:
    ///   - maximumCount: at least 2. More are kept only of those that must be.
    ///   - lifetime: what was not used for so long is forgotten; half of it is sure.
    package init(maximumCount: Int, lifetime: TimeAmount) {
        self.maximumCount = maximumCount
        self.halfLife = .nanoseconds(max(lifetime.nanoseconds / 2, 1))
    }

    var count: Int { self.young.count + self.old.count }

    /// Changes the value of a key, without the use counting as one.
    package subscript(key: Key) -> Value? {
        get { self.young[key] ?? self.old[key] }
        set {
            self.old[key] = nil
            self.young[key] = newValue
        }
    }

    /// Uses a value, which is made if there is none.
    mutating func use<Result>(
        _ key: Key,
        orMake make: @autoclosure () -> Value,
        _ body: (inout Value) -> Result
    ) -> Result {
        if let index = self.young.index(forKey: key) { return body(&self.young.values[index]) }
        var value = self.old.removeValue(forKey: key) ?? make()
        let result = body(&value)
        self.young[key] = value
        return result
    }

    /// Forgets what is due.
    ///
    /// - Parameter kept: what must stay.
    package mutating func forget(now: NIODeadline, keeping kept: some Sequence<Key>) {
        let rotatesAt = self.rotatesAt ?? now + self.halfLife
        self.rotatesAt = rotatesAt
        guard now >= rotatesAt || self.young.count >= max(self.maximumCount / 2, 1) else { return }
        let forgotten = self.old
        self.old = self.young
        self.young = [:]
        self.rotatesAt = now + self.halfLife
        for key in kept {
            if let value = forgotten[key] { self.young[key] = value }
        }
    }

    func keys(where isIncluded: (Value) -> Bool) -> [Key] {
        [self.young, self.old].flatMap { $0.filter { isIncluded($0.value) }.map(\.key) }
    }
}
