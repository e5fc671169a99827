/// A message with a name and a Swift type, sent as `{"event": name, "payload": …}`.
///
/// ```swift
/// struct Say: Event {
///     static let name = "say"
///     var msg: String
///     struct Reply: Codable, Sendable { var heardBy: Int }
/// }
/// ```
public protocol Event: Codable, Sendable {
    /// The event's name on the wire.
    static var name: String { get }

    /// What the receiver answers; ``NoReply`` when it answers nothing.
    associatedtype Reply: Codable & Sendable = NoReply
}

/// The reply of an ``Event`` that is not answered.
public struct NoReply: Codable, Hashable, Sendable {
    public init() {}
}
