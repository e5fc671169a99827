/// A server that did not answer a request.
public struct MissingReply: Sendable, Hashable {
    /// Why there is no answer.
    public enum Reason: Sendable, Hashable {
        /// None came in time.
        case timeout
        /// The request could not be sent; the text says why.
        case notSent(String)
        /// Nobody can tell whether the request was sent: the connection to the Redis node was lost meanwhile.
        case outcomeUnknown(String)
        /// The server answered that the request failed.
        case failed(code: String, message: String)
        /// The server's answer is not as expected; the text says why.
        case invalidReply(String)
        /// The server has stopped since it was asked.
        case stopped
        /// The server has not been heard for so long that it counts as dead.
        case died
        /// No link delivers to the server any more, and it has not spoken since: it has died, or has lost its connections. It
        /// may have been asked, or be asked yet when it comes back.
        case suspected
        /// The server lives, and no link connects it with this one.
        case unreachable
        /// This server stops.
        case stopping
    }

    /// Nil when a server is missing whose name nobody knows.
    public var server: String?
    public var reason: Reason

    public init(server: String?, reason: Reason) {
        self.server = server
        self.reason = reason
    }
}

extension MissingReply.Reason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .timeout: "no reply in time"
        case .notSent(let reason): "not sent: \(reason)"
        case .outcomeUnknown(let reason): "perhaps not sent: \(reason)"
        case .failed(let code, let message): "failed: \(code): \(message)"
        case .invalidReply(let reason): "the reply is not as expected: \(reason)"
        case .stopped: "the server has stopped"
        case .died: "the server has died"
        case .suspected: "the server is not heard any more"
        case .unreachable: "no link leads to the server"
        case .stopping: "this server stops"
        }
    }
}
