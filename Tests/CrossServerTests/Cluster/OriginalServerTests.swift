import CrossServer
import CrossServerBus
import CrossServerTesting
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Beside a server of the original.
@Suite(.timeLimit(.minutes(2)))
struct OriginalServerTests {
    @Test(arguments: [BusEncoding.messagePack, .json])
    func aReplyIsWrittenAsItsRequest(encoding: BusEncoding) async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.encoding = encoding
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a"], configuration: configuration, buses: [hub.makeBus()]) { adapter in
            adapter.onCrossServerEvent("echo") { event, reply in reply?(event.payload) }
            adapter.onCrossServerEvent("later") { event, reply async in reply?(event.payload) }
        } run: { _ in
            let original = Original(hub.makeBus())
            try await original.run {
                for event in ["echo", "later"] {
                    let request = CrossServerEvent(event: event, sender: "o", payload: 7, callbackID: "o-\(event)")
                    for encoding in [BusEncoding.messagePack, .json] {
                        var message = ByteBuffer()
                        try BusMessage.event(request).write(into: &message, as: encoding)
                        original.forget()
                        try original.bus.publish(message, to: Original.bridge)
                        let reply = CrossServerReply(sender: "a", callbackID: "o-\(event)", payload: 7)
                        var expected = ByteBuffer()
                        try BusMessage.reply(reply).write(into: &expected, as: encoding)
                        try await eventually { original.received.contains(expected) }
                    }
                }
            }
        }
    }

    /// Each takes the other's messages for its own, so neither would ever say so.
    @Test func anOriginalWithOurNameIsNoticed() async throws {
        let lines = Lines()
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a"], logger: lines.logger, buses: [hub.makeBus()]) { adapter in
            adapter.onCrossServerEvent("echo") { event, reply in reply?(event.payload) }
        } run: { servers in
            let original = Original(hub.makeBus())
            try await original.run {
                func publish(_ message: BusMessage, to channel: String) throws {
                    var bytes = ByteBuffer()
                    try message.write(into: &bytes, as: .messagePack)
                    try original.bus.publish(bytes, to: channel)
                }
                func hasHandledAll() async throws {
                    let reply = try await servers[0].emitCrossServer("echo", to: .server("a"), timeout: .seconds(60))
                    #expect(reply.isComplete)
                }
                // What comes back of its own, and what is for others, is no sign of one.
                let request = CrossServerEvent(event: "echo", sender: "o", payload: 7, callbackID: "o-1")
                try publish(.event(request), to: Original.bridge)
                try await eventually { original.received.count >= 2 }
                try servers[0].emitCrossServer("x")
                let others = CrossServerEvent(event: "x", sender: "o", payload: 1, targets: ["b"])
                try publish(.event(others), to: Original.bridge)
                try await hasHandledAll()
                #expect(lines.count(of: "this server's name") == 0)
                let twin = CrossServerEvent(event: "x", sender: "a", payload: 1)
                try await eventually {
                    try publish(.event(twin), to: Original.bridge)
                    return lines.count(of: "this server's name") > 0
                }
                for _ in 0..<100 { try publish(.event(twin), to: Original.bridge) }
                try await hasHandledAll()
                #expect(lines.count(of: "this server's name") == 1)
            }
        }
    }
}

/// Hears the bridge, as servers of the original do.
private final class Original: BusReceiver {
    static let bridge = "csbp:server_bridge"

    let bus: InProcessBus
    private let messages = Mutex<[ByteBuffer]>([])

    init(_ bus: InProcessBus) {
        self.bus = bus
        bus.subscribe(to: [Self.bridge])
    }

    var received: [ByteBuffer] { self.messages.withLock { $0 } }
    func forget() { self.messages.withLock { $0 = [] } }

    func received(_ message: ByteBuffer, on channel: String, over link: BusLink) {
        self.messages.withLock { $0.append(message) }
    }

    func linkChanged(_ status: BusLinkStatus) {}

    func run(_ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.bus.run(self) }
            try await eventually { self.bus.links.contains { $0.canPublish } }
            try await body()
            group.cancelAll()
        }
    }
}

/// What is logged.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    func count(of text: String) -> Int { self.lines.withLock { $0.count { $0.contains(text) } } }

    var logger: Logger { Logger(label: "test", factory: { _ in Handler(lines: self) }) }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            self.lines.lines.withLock { $0.append("\(event.message)") }
        }
    }
}
