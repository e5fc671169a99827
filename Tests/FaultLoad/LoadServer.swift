import CrossServer
import CrossServerBus
import CrossServerClient
import CrossServerRedis
import Logging
import NIOCore
import Synchronization

/// A server that sends numbered messages, or counts those that it gets.
final class LoadServer: Sendable {
    private let adapter: WebSocketCrossServerAdapter
    private let bus: RedisBus
    private let isSender: Bool
    private let links = Mutex<[String: BusLink]>([:])
    private let load: Load
    private let lives: Lives
    private let counts = Mutex<[Kind: Count]>([:])
    private let missed = Mutex((count: 0, unknown: 0))

    init(name: String, strategy: SelectionStrategy, redis urls: [String]) throws {
        var logger = Logger(label: name)
        logger.logLevel = .notice
        var redis = RedisBus.Configuration()
        redis.strategy = strategy
        self.bus = try RedisBus(nodes: urls.map { try RedisNode($0) }, configuration: redis, logger: logger)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        // What was repaired comes all at once, and is not to be lost on the way from this process to its own client.
        configuration.limits.outbound.maximumWaitingBytes = 256 << 20
        self.isSender = name == "send"
        self.adapter = WebSocketCrossServerAdapter(
            serverName: name,
            listening: self.isSender ? nil : .host("127.0.0.1", port: 0),
            bus: self.bus,
            configuration: configuration,
            logger: logger
        )
        let links = self.bus.links.map(\.link).sorted { $0.number < $1.number }
        self.links.withLock { $0 = Dictionary(uniqueKeysWithValues: zip(urls, links)) }
        self.load = Load(self.adapter)
        self.lives = Lives(self.adapter)
    }

    func add(_ url: String) throws {
        let link = try self.bus.add(RedisNode(url))
        self.links.withLock { $0[url] = link }
    }

    func run() async throws {
        try await self.adapter.run()
    }

    /// Waits until both servers can do their part.
    func start() async throws {
        self.adapter.onMissedMessages { missed in
            self.missed.withLock { state in
                state.count += missed.count ?? 0
                if missed.count == nil { state.unknown += 1 }
            }
        }
        self.lives.listen()
        try await self.adapter.waitForBus()
        if self.isSender {
            while !self.adapter.servers.contains(where: { $0.name == "receive" }) {
                try await Task.sleep(for: .milliseconds(10))
            }
        } else {
            try await self.listen()
        }
    }

    private func listen() async throws {
        for kind in [Kind.all, .server] {
            self.adapter.onCrossServerEvent(kind.rawValue) { event, _ in self.count(event.payload, as: kind) }
        }
        self.adapter.onWebSocketEvent(.connection) { socket, _ in
            try self.adapter.setUserSocket(Command.client, socket)
            try await self.adapter.joinRoom(Command.room, in: Command.namespace, Command.client)
        }
        while self.adapter.listeningAddress == nil { try await Task.sleep(for: .milliseconds(10)) }
        let port = self.adapter.listeningAddress?.port ?? 0
        let client = try WebSocketConnector(url: "ws://127.0.0.1:\(port)")
        for kind in [Kind.room, .client] {
            client.on(kind.rawValue) { payload in self.count(payload, as: kind) }
        }
        client.on(.close) { close in fatalError("the client was closed: \(close)") }
        // Lives as long as the process, and must.
        Task {
            do { try await client.run() } catch { fatalError("the client has ended: \(error)") }
        }
        while self.adapter.socketCount(inRoom: Command.room, in: Command.namespace) == 0 {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func count(_ payload: Payload, as kind: Kind) {
        guard let stamp = LoadStamp(payload) else { fatalError("no message of this program: \(payload.json)") }
        self.counts.withLock { $0[kind, default: Count()].add(stamp) }
    }

    func obey(_ words: [String]) async throws -> Payload {
        switch words.first {
        case "add" where words.count == 2:
            try self.add(words[1])
        case "remove" where words.count == 2:
            if let link = self.links.withLock({ $0.removeValue(forKey: words[1]) }) { self.bus.remove(link) }
        case "load" where words.count == 4:
            self.load.start(rate: Int(words[1]) ?? 0, seconds: Double(words[2]) ?? 0, bytes: Int(words[3]) ?? 0)
        case "report":
            return await self.report()
        case "servers":
            return ["servers": Payload(self.adapter.servers.map { Payload($0.name) })]
        case "ask" where words.count > 1:
            self.lives.ask(words[1], count: words.count > 2 ? Int(words[2]) : nil)
        case "tell":
            self.lives.tell()
        case "stop":
            self.lives.stop()
        case "lives":
            return self.lives.report
        case "quit":
            break
        default:
            return ["error": Payload("not understood: \(words)")]
        }
        return [:]
    }

    private func report() async -> Payload {
        let ledger = await self.adapter.deliveryLedger
        let received = ledger.received[self.isSender ? "receive" : "send"]
        let missed = self.missed.withLock { $0 }
        var report: [Payload] = []
        let counts = self.counts.withLock { $0 }
        for kind in Kind.allCases {
            let sent = self.load.sent(kind)
            let count = counts[kind] ?? Count()
            report.append([
                "kind": Payload(kind.rawValue),
                "sent": Payload(sent.accepted),
                "refused": Payload(sent.refused),
                "received": Payload(count.received),
                "repeated": Payload(count.repeated),
                "disordered": Payload(count.disordered),
                "latest": Payload(count.latest),
            ])
        }
        return [
            "kinds": Payload(report),
            "isSending": Payload(self.load.isRunning),
            "missed": Payload(missed.count),
            "missedUnknown": Payload(missed.unknown),
            "ledger": [
                "sent": Payload(ledger.sent),
                "refused": Payload(ledger.refused),
                "republished": Payload(ledger.republished),
                "repeated": Payload(ledger.repeated),
                "delivered": Payload(received?.delivered ?? 0),
                "repaired": Payload(received?.repaired ?? 0),
                "missed": Payload(received?.missed ?? 0),
                "repeats": Payload(received?.repeats ?? 0),
            ],
            "dropped": Payload(self.adapter.statistics.cluster.clientMessagesDropped),
        ]
    }
}
