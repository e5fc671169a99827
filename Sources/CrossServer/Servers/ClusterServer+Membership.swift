import CrossServerBus
import NIOCore

extension Holder {
    init(_ member: Member) {
        self.init(name: member.name, incarnation: member.incarnation)
    }
}

extension ClusterServer {
    init(_ member: Member, isThisServer: Bool = false) {
        self.init(
            name: member.name,
            incarnation: member.incarnation,
            uptime: .nanoseconds(member.uptime.nanoseconds),
            connections: member.connections,
            rooms: member.rooms,
            links: member.links,
            isStopping: member.isDraining,
            isReachable: member.isReachable,
            isThisServer: isThisServer
        )
    }

    /// A server that only others hear.
    init(unreachable server: Announcement.HeardServer) {
        self.init(
            name: server.name,
            incarnation: server.incarnation,
            uptime: .zero,
            connections: 0,
            rooms: 0,
            links: [],
            isStopping: false,
            isReachable: false,
            isThisServer: false
        )
    }
}

extension ServerChange.LeaveReason {
    init(_ reason: MembershipAction.LeaveReason) {
        self =
            switch reason {
            case .stopped: .stopped
            case .died: .died
            case .replaced: .replaced
            }
    }
}
