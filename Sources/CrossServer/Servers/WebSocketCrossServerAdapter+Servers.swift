import CrossServerBus
import NIOCore
import Synchronization

// Who is in the cluster
extension WebSocketCrossServerAdapter {
    /// The live servers, this one among them, sorted by name. A server counts when it has proved that it lives, which takes
    /// some milliseconds, until it says that it stops or has not been heard for 3.5 s; or when other servers hear it and
    /// this one has not for 7 s: then it is not reachable. Servers of the original are not among them: see
    /// ``originalServerCount``.
    public var servers: [ClusterServer] {
        let (members, unreachable, takenAt, own) = self.cluster.servers.roster.withLock {
            ($0.members, $0.unreachable, $0.takenAt, $0.own)
        }
        let since = Duration.nanoseconds((NIODeadline.now() - takenAt).nanoseconds)
        let heard = members.values.map { member in
            var server = ClusterServer(member)
            server.uptime += since
            return server
        }
        let others =
            heard + unreachable.filter { members[$0.name] == nil }.map { ClusterServer(unreachable: $0) }
        let this =
            own.map { ClusterServer($0, isThisServer: true) }
            ?? ClusterServer(
                name: self.serverName,
                incarnation: self.transport.incarnation,
                uptime: .zero,
                connections: self.clients.load.connections,
                rooms: self.clients.load.rooms,
                links: [],
                isStopping: self.isStopping,
                isReachable: true,
                isThisServer: true
            )
        return (others + [this]).sorted { $0.name < $1.name }
    }

    /// How many servers of the Node original share the cluster, as counted within the last second or two: subscribers of
    /// the channel that all servers have, without those of the channel that only these have.
    public var originalServerCount: Int { self.cluster.servers.roster.withLock { $0.originalServerCount } }

    /// Runs the closure when a server joins or leaves, on an event loop: it must not block.
    public func onServerChange(_ handler: @escaping @Sendable (ServerChange) -> Void) {
        self.cluster.servers.serverChanges.add(handler)
    }

    /// The servers that join and leave from now on. Ends with this server. When 1,000 wait, the oldest is dropped.
    public var serverChanges: AsyncStream<ServerChange> { self.cluster.servers.serverChanges.stream() }
}
