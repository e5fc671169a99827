/// Which servers an event goes to.
public enum CrossServerTarget: Sendable, Hashable {
    /// Every server, this one too.
    case all
    /// The servers with the names, which may include this one. A name that is there twice counts once.
    case servers([String])

    public static func server(_ name: String) -> CrossServerTarget { .servers([name]) }
}

/// The replies to a request to other servers.
public struct CrossServerReplies<Value: Sendable>: Sendable {
    /// By the name of the server.
    public var replies: [String: Value]
    /// Who did not answer, and why. Empty when everyone did.
    public var missing: [MissingReply]

    public init(replies: [String: Value] = [:], missing: [MissingReply] = []) {
        self.replies = replies
        self.missing = missing
    }

    /// Whether every server answered that was expected to.
    public var isComplete: Bool { self.missing.isEmpty }
}

extension CrossServerReplies: Equatable where Value: Equatable {}

/// What comes of a request to other servers, one by one.
public enum CrossServerResponse<Value: Sendable>: Sendable {
    /// A server has answered. `remaining` is how many more are expected; nil while nobody knows.
    case reply(server: String, Value, remaining: Int?)
    /// A server has not answered, or has answered that it failed.
    case missing(MissingReply)
}

extension CrossServerResponse: Equatable where Value: Equatable {}

/// Names a request whose replies go to a closure.
public struct CrossServerCallback: Sendable, Hashable {
    let number: UInt64
}
