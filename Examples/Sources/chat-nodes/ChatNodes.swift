import ArgumentParser
import Chat
import CrossServer
import CrossServerRedis
import Logging
import ServiceLifecycle

@main
struct ChatNodes: AsyncParsableCommand {
    @Argument(help: "Names of the servers. No two of a cluster may be the same.")
    var names = ["serverA", "serverB", "serverC", "serverD", "serverE"]

    @Option(help: "Port of the first server; the others take the next ones. 0 for free ones.")
    var port = 9000

    @Option(help: "Redis node, as host:port or URL. May be repeated.")
    var redis = ["127.0.0.1:6379"]

    func run() async throws {
        let servers = try self.names.enumerated().map { index, name in
            try self.server(named: name, port: self.port == 0 ? 0 : self.port + index)
        }
        let group = ServiceGroup(
            services: servers,
            gracefulShutdownSignals: [.sigint, .sigterm],
            logger: Logger(label: "nodes")
        )
        try await group.run()
    }

    private func server(named name: String, port: Int) throws -> WebSocketCrossServerAdapter {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        // An id has one connection in the cluster, and so messages for it go to its server alone.
        configuration.cluster.uniqueIds = .replacing
        let server = WebSocketCrossServerAdapter(
            serverName: name,
            listening: .host("127.0.0.1", port: port),
            bus: try RedisBus(nodes: self.redis.map { try RedisNode($0) }),
            configuration: configuration
        )

        server.onWebSocketEvent(.listening) { address async in
            do {
                try await server.waitForBus()
            } catch {
                say("\(name): no other server can be reached yet: \(error)")
            }
            say("\(name) listens at port \(address.port ?? 0)")
        }
        server.onWebSocketEvent(.connection) { socket, request in
            // A real server checks a token here, or before the upgrade in `Configuration.authorize`.
            guard let id = request.parameters["id"] else { return socket.close(.authenticationFailed) }
            try server.setUserSocket(id, socket)?.close(.replacedByAnotherLogin)
            say("\(name): \(id) connected")
        }
        server.onWebSocketEvent(.close) { socket, _, code, _ in
            if let id = socket.id { say("\(name): \(id) has gone: \(code)") }
        }

        server.onWebSocketEvent(JoinRoom.self) { join, socket async throws in
            guard let id = socket.id else { throw RequestFailure(code: "NO_ID", message: "say who you are") }
            // From here on the client hears what any server says to the room.
            try await server.joinRoom(join.roomId, in: chatNamespace, id)
            return JoinRoom.Reply(msg: "you are in room \(join.roomId)")
        }
        server.onWebSocketEvent(Command.self) { command, socket in
            say("\(name): \(socket.id ?? "?") orders \(command.action): \(command.msg)")
            try self.carryOut(command, on: server)
            return Command.Reply(msg: "\(command.action) is sent")
        }

        server.onCrossServerEvent(WhereAreYou.self) { _, _ in
            guard let port = server.listeningAddress?.port else {
                throw RequestFailure(code: "NOT_YET", message: "\(name) takes no clients yet")
            }
            return WhereAreYou.Reply(url: "ws://127.0.0.1:\(port)/")
        }
        return server
    }

    private func carryOut(_ command: Command, on server: WebSocketCrossServerAdapter) throws {
        let message = Say(action: command.action, msg: command.msg)
        switch command.action {
        case .broadcast:
            try server.broadcast(message)
        case .toPlayer:
            guard let id = command.toPlayerId else { throw RequestFailure.invalidPayload("toPlayerId is missing") }
            try server.toSocketId(id, message)
        case .toPlayers:
            guard let ids = command.toPlayerIds else { throw RequestFailure.invalidPayload("toPlayerIds are missing") }
            try server.toSocketIds(ids, message)
        case .toRoom:
            guard let room = command.roomId else { throw RequestFailure.invalidPayload("roomId is missing") }
            try server.broadcastToRoom(room, in: chatNamespace, message)
        }
    }
}
