/// What the servers of a cluster have answered together.
public struct ClusterAnswer<Value: Sendable>: Sendable {
    public var value: Value
    /// Servers whose part is not in it, and why. Servers of the original have no name here: they cannot answer.
    public var missing: [MissingReply]

    public init(value: Value, missing: [MissingReply] = []) {
        self.value = value
        self.missing = missing
    }

    public var isComplete: Bool { self.missing.isEmpty }
}

extension ClusterAnswer: Equatable where Value: Equatable {}
