/// A server as the page shows it.
struct PageNode: Encodable, Sendable {
    var name: String
    /// Relative to the page's own.
    var url: String
    var state: NodeState
    /// What can be done with it now.
    var actions: [NodeAction]
}

enum NodeState: String, Encodable, Sendable {
    case starting, running, stopping, stopped, killed, failed

    var actions: [NodeAction] {
        switch self {
        case .starting, .running: [.stop, .kill]
        case .stopping: [.kill]
        case .stopped, .killed, .failed: [.start]
        }
    }
}

enum NodeAction: String, Encodable, Sendable {
    case start
    /// Gracefully.
    case stop
    /// Without a goodbye to anyone.
    case kill
}
