/// Which link a message is published on.
public struct SelectionStrategy: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// Any usable link.
    public static let random = SelectionStrategy(description: "random")
    /// The usable links in turn.
    public static let roundRobin = SelectionStrategy(description: "round-robin")
    /// The usable link that answered the last probes most quickly.
    public static let fastest = SelectionStrategy(description: "fastest")

    private init(description: String) {
        self.description = description
    }

    /// - Parameter name: `random`, `round-robin` or `fastest`.
    public init?(_ name: String) {
        let all: [Self] = [.random, .roundRobin, .fastest]
        guard let known = all.first(where: { $0.description == name }) else { return nil }
        self = known
    }
}
