import ArgumentParser
import Chat
import CrossServer
import CrossServerRedis
import Hummingbird
import Logging
import Recipes

/// Tells users over HTTP which server to connect to. A real one would check who they are, and give them a token.
@main
struct LoginService: AsyncParsableCommand {
    @Option(help: "Port to answer at; 0 for a free one.")
    var port = 8080

    @Option(help: "Name of this server in the cluster.")
    var name = "loginA"

    @Option(help: "Redis node, as host:port or URL. May be repeated.")
    var redis = ["127.0.0.1:6379"]

    func run() async throws {
        let server = WebSocketCrossServerAdapter(
            serverName: self.name,
            bus: try RedisBus(nodes: self.redis.map { try RedisNode($0) })
        )
        let placement = UserPlacement(server)

        let router = Router()
        router.get("place") { request, _ in
            guard let user = request.uri.queryParameters["user"].map(String.init), !user.isEmpty else {
                throw HTTPError(.badRequest, message: "whose place? ask for /place?user=ID")
            }
            guard let place = placement.place(of: user) else {
                throw HTTPError(.serviceUnavailable, message: "no server takes clients at the moment")
            }
            return place
        }

        var logger = Logger(label: "login")
        logger.logLevel = .notice
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: self.port)),
            services: [server, placement],
            onServerRunning: { say("answers at port \($0.localAddress?.port ?? 0)") },
            logger: logger
        )
        try await application.runService()
    }
}

extension UserPlacement.Place: ResponseEncodable {}
