import CrossServer
import CrossServerHummingbird
import Hummingbird

let router = Router()
router.get("hello") { _, _ in "hello" }
let adapter = WebSocketCrossServerAdapter(serverName: "chat-1")
adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }

let application = Application(
    router: router,
    server: .http1WebSocketUpgrade(to: adapter),
    configuration: .init(address: .hostname("0.0.0.0", port: 9000)),
    services: [adapter]
)
try await application.runService()
