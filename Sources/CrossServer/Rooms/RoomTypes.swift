/// How a query compares names.
public enum NameMatch: Sendable {
    /// The name itself.
    case exact
    /// Every name that starts with it.
    case prefix

    func callAsFunction(_ name: String, _ wanted: String) -> Bool {
        switch self {
        case .exact: name == wanted
        case .prefix: name.hasPrefix(wanted)
        }
    }
}

/// Whether what other servers send to a room reaches its members here.
public enum RoomSubscription: Sendable, Hashable {
    /// It does from now on.
    case inForce
    /// No link of the bus can be used, or one has not answered in time. It does as soon as one has; what is sent until then
    /// may be missed.
    case pending
}
