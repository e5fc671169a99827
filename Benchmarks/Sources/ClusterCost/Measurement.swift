import CrossServer
import CrossServerBus
import CrossServerTesting
import CrossServerWire
import NIOCore
import NIOPosix

/// How many messages of the bus a cluster receives for each message that is sent.
struct Measurement {
    struct Row {
        var kind: String
        /// Received by all servers together, for one message sent.
        var received: Double
        /// What the original's servers receive: every one of them every message.
        var original: Double
    }

    private static let messages = 200

    private let servers: [WebSocketCrossServerAdapter]
    private let buses: [CountingBus]
    private let clients: [TestClient]

    /// One client on each server, with the server's number as its id.
    static func rows(servers count: Int) async throws -> [Row] {
        try await Self.run(servers: count) { try await $0.allRows() }
            + Self.run(servers: count, uniqueIds: .perServer) { measurement in
                [
                    try await measurement.toOneClient("to one client, ids not unique"),
                    try await measurement.requestToOneClient("request to a client, ids not unique"),
                ]
            }
            + Self.run(servers: count, subscribesEachRoom: true) { measurement in
                [try await measurement.room(membersOn: 2, "room of 2, a channel for each room", isShared: true)]
            }
    }

    /// - Parameter uniqueIds: when they are not unique a client may be on several servers, and all are told.
    private static func run(
        servers count: Int,
        uniqueIds: WebSocketCrossServerAdapter.Configuration.UniqueIds = .replacing,
        subscribesEachRoom: Bool = false,
        _ body: (Measurement) async throws -> [Row]
    ) async throws -> [Row] {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.subscribesEachRoom = subscribesEachRoom
        configuration.cluster.uniqueIds = uniqueIds
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = (0..<count).map { _ in CountingBus(hub.makeBus()) }
        return try await withCluster(
            (0..<count).map { "node\($0)" },
            listening: .host("127.0.0.1", port: 0),
            configuration: configuration,
            buses: buses
        ) { adapter in
            adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
            }
            adapter.onCrossServerEvent("echo") { event, reply in reply?(event.payload) }
        } run: { servers in
            var clients: [TestClient] = []
            for (index, server) in servers.enumerated() {
                guard let address = server.listeningAddress else { continue }
                clients.append(try await TestClient.connect(to: address, target: "/?id=\(index)"))
                try await eventually { server.socket(forID: "\(index)") != nil }
            }
            return try await body(Measurement(servers: servers, buses: buses, clients: clients))
        }
    }

    private func allRows() async throws -> [Row] {
        let last = self.servers.count - 1
        var rows: [Row] = []
        rows.append(try await self.toOneClient("to one client"))
        rows.append(
            try await self.row("request to one server, and reply", per: 2) {
                _ = try await self.servers[0].emitCrossServer("echo", to: .server("node\(last)"), timeout: .seconds(30))
            }
        )
        rows.append(try await self.requestToOneClient("request to one client, and reply"))
        for count in Set([1, 2, self.servers.count]).sorted() {
            rows.append(try await self.room(membersOn: count, "room of \(count) servers"))
        }
        rows.append(try await self.room(membersOn: 2, "room of 2, all in its namespace", isShared: true))
        rows.append(
            try await self.row("broadcast", per: 1) {
                try self.servers[0].broadcast("note", 1)
                for client in self.clients { _ = try await client.next("note") }
            }
        )
        return rows
    }

    private func toOneClient(_ kind: String) async throws -> Row {
        let last = self.servers.count - 1
        return try await self.row(kind, per: 1) {
            try self.servers[0].toSocketId("\(last)", "note", 1)
            _ = try await self.clients[last].next("note")
        }
    }

    private func requestToOneClient(_ kind: String) async throws -> Row {
        let last = self.servers.count - 1
        return try await self.row(kind, per: 2) {
            async let reply = self.servers[0].emit(toSocketId: "\(last)", "ask", timeout: .seconds(30))
            let envelope = try Envelope(scanning: try await self.clients[last].nextMessage().payload)
            self.clients[last].send(#"{"requestId":"\#(envelope.requestId?.string ?? "")"}"#)
            _ = try await reply
        }
    }

    /// A room with members on the last `count` servers; the first server sends.
    ///
    /// - Parameter isShared: whether all servers have members in another room of the namespace.
    private func room(membersOn count: Int, _ kind: String, isShared: Bool = false) async throws -> Row {
        let namespace = "\(count) \(isShared)"
        for index in self.servers.indices where isShared {
            try await self.servers[index].joinRoom("another", in: namespace, "\(index)")
        }
        let members = self.servers.indices.suffix(count)
        for index in members {
            try await self.servers[index].joinRoom("r", in: namespace, "\(index)")
        }
        return try await self.row(kind, per: 1) {
            try self.servers[0].broadcastToRoom("r", in: namespace, "note", 1)
            for index in members { _ = try await self.clients[index].next("note") }
        }
    }

    private func row(_ kind: String, per original: Int, _ body: () async throws -> Void) async throws -> Row {
        // The first messages find the way.
        for _ in 0..<3 { try await body() }
        try await self.settle()
        let before = self.received
        for _ in 0..<Self.messages { try await body() }
        try await self.settle()
        return Row(
            kind: kind,
            received: Double(self.received - before) / Double(Self.messages),
            original: Double(original * self.servers.count)
        )
    }

    private var received: Int { self.buses.reduce(0) { $0 + $1.received } }

    /// Waits until nothing is under way.
    private func settle() async throws {
        var last = -1
        while last != self.received {
            last = self.received
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
