package import NIOCore

/// A live server of the cluster.
package struct Member: Sendable, Equatable {
    package enum Role: String, Sendable {
        case server
        /// Listens and asks, and is not counted among the servers.
        case observer
    }

    package var name: String
    package var incarnation: String
    package var role: Role
    /// Where it is, for people; may be empty.
    package var address: String
    /// For how long it has been running.
    package var uptime: TimeAmount
    package var connections: Int
    package var rooms: Int
    /// It is about to stop, and takes no new connections.
    package var isDraining: Bool
    /// Whether clients may be connected to it.
    package var takesClients = true
    /// Its own names for the links that it hears.
    package var links: [String]
    /// Whether there is a link on which this server can publish and which the other hears.
    package var isReachable: Bool
    /// No link delivers to its inbox any more, and it has not spoken since.
    package var isSuspect = false
}

/// What the owner of a ``Membership`` has to do, in the order given.
package enum MembershipAction: Sendable, Equatable {
    package enum Destination: Sendable, Equatable {
        /// The cluster channel.
        case everyone
        case inbox(name: String, incarnation: String)
    }

    package enum LeaveReason: String, Sendable {
        /// It said so.
        case stopped
        /// It has been silent for too long.
        case died
        /// Another life of the same name lives instead.
        case replaced
    }

    /// Publish on this link and on no other; what comes of it does not matter.
    case send(Announcement, to: Destination, over: BusLink)
    case joined(Member)
    case left(Member, LeaveReason)
    /// A heartbeat has brought something new: load, links, draining.
    case changed(Member)
    /// No link delivers to the inbox of a live server any more: it has died, or has lost its connections. Nobody should wait
    /// for it long.
    case suspected(Member)
    /// It has spoken, or its inbox is heard again.
    case cleared(Member)
    /// The other one, which is older, keeps the name: this server has to stop. Nothing is sent any more.
    case nameTaken(by: Member)
    /// A message published on the link came back, for the first time or again. Messages since then may have been missed:
    /// nil the first time.
    case linkProved(BusLink, missedSince: NIODeadline?)
    /// The link was lost, or messages have not come back for too long. Messages since then may have been missed.
    case linkLost(BusLink, missedSince: NIODeadline)
    /// Heartbeats of a live server did not come over some link. So may its messages since then.
    case heartbeatMissed(incarnation: String, since: NIODeadline)
}
