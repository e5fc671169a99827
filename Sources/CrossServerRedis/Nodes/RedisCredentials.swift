/// What a Redis server is shown with AUTH.
public struct RedisCredentials: Sendable, Hashable, CustomStringConvertible {
    /// Nil: the default user, which is all that servers before Redis 6 know.
    public var user: String?
    public var password: String

    public init(user: String? = nil, password: String) {
        self.user = user
        self.password = password
    }

    /// Without the password.
    public var description: String { self.user.map { "user \($0)" } ?? "default user" }
}
