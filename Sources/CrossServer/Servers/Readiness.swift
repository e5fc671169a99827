import CrossServerWire
package import Logging

/// Whether a server can do its work now, and what hinders it.
public struct Readiness: Sendable, Hashable {
    /// What hinders the server; empty when it is ready.
    public var problems: [Problem]
    /// The names of servers that live and that no link connects with this one. They do not make this server unready: of
    /// two that do not hear each other both would be, and to send clients elsewhere connects no servers.
    public var unreachableServers: [String]

    public init(problems: [Problem] = [], unreachableServers: [String] = []) {
        self.problems = problems
        self.unreachableServers = unreachableServers
    }

    public var isReady: Bool { self.problems.isEmpty }

    public enum Problem: Sendable, Hashable {
        /// ``WebSocketCrossServerAdapter/run()`` has not begun, or has ended.
        case notRunning
        case notListening
        /// The server is about to stop, and takes no new clients.
        case stopping
        /// No link, for example no Redis node, carries messages end to end: of what this server publishes there nothing
        /// has come back to it for 2.5 s. Each with its name and, in brackets, what is known to hinder it.
        case busUnusable(links: [String])
        /// The channel is heard on none of the links that carry messages: a link refuses it, or has not answered for 1 s.
        case notSubscribed(channel: String, refusal: String?)
        /// As many channels more.
        case moreNotSubscribed(count: Int)
        /// The event loop that talks to other servers has been busy for more than 2.5 s.
        case unresponsive
    }
}

extension Readiness.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notRunning: "the server does not run"
        case .notListening: "the server does not listen yet"
        case .stopping: "the server stops"
        case .busUnusable(let links):
            "no other server can be reached: no message comes back over \(links.joined(separator: ", "))"
        case .notSubscribed(let channel, let refusal):
            "the channel \(channel) is not heard: \(refusal ?? "no answer to the subscription")"
        case .moreNotSubscribed(let count): "\(count) more channels are not heard"
        case .unresponsive: "the event loop has been busy for too long"
        }
    }
}

extension Readiness: CustomStringConvertible {
    /// A line for whether it is ready and for each problem.
    public var description: String {
        let unreachable = self.unreachableServers.map { "no link leads to the server \(LogText($0))" }
        let lines = (self.isReady ? ["ready"] : ["not ready"]) + self.problems.map(\.description) + unreachable
        return lines.joined(separator: "\n")
    }

    /// For a log, where a record has to be one line.
    package var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        if !self.isReady { metadata["problems"] = .array(self.problems.map { "\(LogText($0))" }) }
        if !self.unreachableServers.isEmpty {
            metadata["unreachable"] = .array(self.unreachableServers.map { "\(LogText($0))" })
        }
        return metadata
    }
}
