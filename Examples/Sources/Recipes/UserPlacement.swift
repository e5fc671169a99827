import Chat
import CrossServer
import Logging
import ServiceLifecycle
import Synchronization

/// Says which server of the cluster a user shall connect to: always the same one, as long as it is there.
///
/// Clients need not keep to it, since messages find them anywhere. But what belongs together can be together, and a user
/// who comes back finds the server that knows about it.
public final class UserPlacement: Service {
    public struct Place: Sendable, Hashable, Codable {
        public var server: String
        public var url: String
    }

    /// A life of a server, and where clients can connect to it; nil when it takes none.
    private struct Known: Sendable {
        var incarnation: String
        var url: String?
    }

    private struct State: Sendable {
        var known: [String: Known] = [:]
        var names: [String] = []
        var ring = HashRing(nodes: [])
    }

    private let adapter: WebSocketCrossServerAdapter
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter adapter: a server of the cluster, which needs no WebSocket side.
    public init(_ adapter: WebSocketCrossServerAdapter, logger: Logger = Logger(label: "placement")) {
        self.adapter = adapter
        self.logger = logger
    }

    /// Asks new servers where they are, until the task is cancelled or the service is to stop.
    public func run() async throws {
        try await cancelWhenGracefulShutdown {
            while true {
                await self.askNewServers()
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// - Returns: nil when there is no server for clients.
    public func place(of user: String) -> Place? {
        let live = self.adapter.servers
        return self.state.withLock { state in
            // One that stops gets no new users, and those that it has come to another.
            let names = live.filter { server in
                !server.isStopping && server.isReachable && state.known[server.name]?.incarnation == server.incarnation
                    && state.known[server.name]?.url != nil
            }.map(\.name)
            if names != state.names {
                state.names = names
                state.ring = HashRing(nodes: names)
            }
            guard let server = state.ring.node(for: user), let url = state.known[server]?.url else { return nil }
            return Place(server: server, url: url)
        }
    }

    private func askNewServers() async {
        let live = self.adapter.servers
        let new = self.state.withLock { state in
            state.known = state.known.filter { name, _ in live.contains { $0.name == name } }
            return live.filter { !$0.isThisServer && state.known[$0.name]?.incarnation != $0.incarnation }
        }
        guard !new.isEmpty else { return }
        do {
            let result = try await self.adapter.emitCrossServer(
                WhereAreYou(),
                to: .servers(new.map(\.name)),
                timeout: .seconds(1)
            )
            self.state.withLock { state in
                for server in new {
                    if let reply = result.replies[server.name] {
                        state.known[server.name] = Known(incarnation: server.incarnation, url: reply.url)
                    } else if result.missing.contains(where: { $0.server == server.name && $0.isUnknownEvent }) {
                        state.known[server.name] = Known(incarnation: server.incarnation)
                    }
                }
            }
        } catch {
            self.logger.notice("servers could not be asked where they are", metadata: ["error": "\(error)"])
        }
    }
}

extension MissingReply {
    /// It has no handler for it, and so it is no server for clients.
    fileprivate var isUnknownEvent: Bool {
        if case .failed(code: "UNKNOWN_EVENT", message: _) = self.reason { true } else { false }
    }
}
