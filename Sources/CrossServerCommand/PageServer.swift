import CrossServer
import CrossServerHummingbird
import CrossServerPage
import CrossServerTLS
import CrossServerWire
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle

/// Serves the page, what it asks for, the health of the server, and a server's clients on the same port.
struct PageServer: Service {
    var host: String
    var port: Int
    var tls: TLSConfiguration?
    var webSockets: HTTPServerBuilder
    var nodes: @Sendable () -> [PageNode]
    var health: @Sendable () -> Health
    /// Nil when nothing may be done with the nodes.
    var control: (@Sendable (_ action: NodeAction, _ name: String) async throws -> PageNode?)?
    var listening: @Sendable (_ port: Int) async -> Void
    var logger: Logger

    func run() async throws {
        let application = Application(
            router: self.router(),
            server: try self.tls.map { try .tls(self.webSockets, tlsConfiguration: $0.modern) } ?? self.webSockets,
            configuration: .init(address: .hostname(self.host, port: self.port), serverName: nil),
            onServerRunning: { await self.listening($0.localAddress?.port ?? self.port) },
            logger: self.logger
        )
        do {
            try await application.run()
        } catch let error as IOError {
            throw CrossServerError(
                .cannotListen,
                "cannot listen at \(endpoint(host: self.host, port: self.port)): \(error)"
            )
        }
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.add(middleware: PageHeaders())
        for file in PageFile.all {
            router.get(RouterPath(file.path)) { _, _ in
                Response(
                    status: .ok,
                    headers: [.contentType: file.contentType],
                    body: .init(byteBuffer: ByteBuffer(bytes: file.bytes))
                )
            }
        }
        router.addHealth(self.health)
        let isOpenToAll = self.control == nil
        router.get("api/nodes") { request, context in
            guard isOpenToAll || SameOrigin.allows(request) else {
                throw HTTPError(.forbidden, message: "not from this page")
            }
            return try context.responseEncoder.encode(self.nodes(), from: request, context: context)
        }
        if let control {
            router.post("api/nodes/:name/:action") { request, context in
                guard SameOrigin.allows(request) else {
                    throw HTTPError(.forbidden, message: "not from this page")
                }
                guard let action = context.parameters.get("action").flatMap(NodeAction.init(rawValue:)) else {
                    throw HTTPError(.notFound, message: "the actions are start, stop and kill")
                }
                do {
                    guard let node = try await control(action, context.parameters.require("name")) else {
                        throw HTTPError(.notFound, message: "no such server")
                    }
                    return try context.responseEncoder.encode(node, from: request, context: context)
                } catch let conflict as DemoConflict {
                    throw HTTPError(.conflict, message: "the server is \(conflict.state)")
                }
            }
        }
        return router
    }
}

/// What keeps the page to itself. A WebSocket that no server takes now is refused for the time being.
private struct PageHeaders: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request,
        context: Context,
        next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if request.headers.contains(.upgrade) {
            throw HTTPError(.serviceUnavailable, message: "this server does not run")
        }
        var response = try await next(request, context)
        response.headers[.cacheControl] = "no-cache"
        response.headers[.contentSecurityPolicy] = """
            default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws: wss:; \
            base-uri 'none'; form-action 'none'; frame-ancestors 'none'
            """
        response.headers[.xContentTypeOptions] = "nosniff"
        if let name = HTTPField.Name("Referrer-Policy") { response.headers[name] = "no-referrer" }
        return response
    }
}

extension PageServer {
    /// The page of a single server, whose clients come to the page's port.
    init(_ adapter: WebSocketCrossServerAdapter, host: String, port: Int) {
        self.init(
            host: host,
            port: port,
            tls: adapter.configuration.tls,
            webSockets: .http1WebSocketUpgrade(to: adapter),
            nodes: { [PageNode(name: adapter.serverName, url: "/", state: .running, actions: [])] },
            health: { Health(adapter.readiness) },
            listening: { port in
                await adapter.waitForBusIfAny()
                printLine("listening on \(endpoint(host: host, port: port))")
            },
            logger: adapter.logger
        )
    }
}
