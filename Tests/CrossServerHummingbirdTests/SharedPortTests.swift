import CrossServer
import CrossServerBus
import CrossServerHummingbird
import CrossServerTesting
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix
import Testing

@Suite
struct SharedPortTests {
    private static let upgrade = """
        Host: localhost\r
        Connection: Upgrade\r
        Upgrade: websocket\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
        Sec-WebSocket-Version: 13\r
        \r

        """

    private static func get(_ path: String, connection: String = "keep-alive") -> String {
        "GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: \(connection)\r\n\r\n"
    }

    @Test(.timeLimit(.minutes(1)))
    func routeAndWebSocketShareAPort() async throws {
        try await SharedPort.run { port in
            let client = try await port.connect("/anything?id=1")
            #expect(try await client.request("echo", ["a": 1]) == ["a": 1])
            let http = try await port.rawConnection()
            try await http.send(Self.get("/hello"))
            #expect(try await http.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(try await client.request("echo", 2) == 2)
            #expect(port.adapter.statistics.connections == 1)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func headsInPiecesAndPipelinedRequestsReachTheRouter() async throws {
        try await SharedPort.run { port in
            let http = try await port.rawConnection()
            for piece in ["G", "ET /hello HTTP/1.1\r\nHo", "st: localhost\r\n\r", "\n"] { try await http.send(piece) }
            #expect(try await http.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n"))
            let pipelined = try await port.rawConnection()
            try await pipelined.send(
                "POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nfirst"
                    + Self.get("/hello", connection: "close")
            )
            let answers = try await pipelined.readToEnd()
            #expect(answers.contains("first"))
            #expect(answers.hasSuffix("hello"))
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func bytesBehindTheUpgradeAreTheFirstMessage() async throws {
        try await SharedPort.run { port in
            let raw = try await port.rawConnection()
            let ping: [UInt8] = [0x89, 0x81, 0, 0, 0, 0, UInt8(ascii: "!")]
            try await raw.send(Array("GET /?id=1 HTTP/1.1\r\n\(Self.upgrade)".utf8) + ping)
            let answer = try await raw.read(until: "\u{1}!")
            #expect(answer.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
            #expect(answer.hasSuffix("\u{1}!"))
            try await raw.close()
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func onlyThePathOfTheAdapterIsUpgraded() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.path = "/chat"
        try await SharedPort.run(configuration: configuration) { port in
            let client = try await port.connect("/chat?id=1")
            #expect(try await client.request("echo", 1) == 1)
            for (path, status) in [("/hello", "200 OK"), ("/other", "404 Not Found")] {
                let raw = try await port.rawConnection()
                try await raw.send("GET \(path) HTTP/1.1\r\n" + Self.upgrade)
                #expect(try await raw.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 \(status)\r\n"))
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func severalAdaptersShareAPort() async throws {
        let second = WebSocketCrossServerAdapter(serverName: "second")
        second.onWebSocketEvent("echo") { _, _, reply in reply?("second") }
        let builder = { (first: WebSocketCrossServerAdapter) in
            HTTPServerBuilder.http1WebSocketUpgrade { request in
                switch request.path {
                case "/first": first
                case "/second": second
                default: nil
                }
            }
        }
        try await SharedPort.run(server: builder) { port in
            for (path, expected) in [("/first", 1), ("/second", "second")] as [(String, Payload)] {
                let client = try await port.connect(path)
                let reply = try await client.request("echo", 1)
                #expect(reply == expected)
            }
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            ("GET / HTTP/1.1", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "400 Bad Request"),
            ("POST / HTTP/1.1", "", "", "405 Method Not Allowed"),
            ("GET / HTTP/1.0", "", "", "426 Upgrade Required"),
            ("GET / HTTP/1.1", "dGhlIHNhbXBsZSBub25jZQ==", "short", "400 Bad Request"),
        ]
    )
    func wrongUpgradesAreAnsweredByTheAdapter(line: String, field: String, wrong: String, status: String) async throws {
        try await SharedPort.run { port in
            let raw = try await port.rawConnection()
            let fields = field.isEmpty ? Self.upgrade : Self.upgrade.replacing(field, with: wrong)
            try await raw.send("\(line)\r\n\(fields)")
            #expect(try await raw.readToEnd().hasPrefix("HTTP/1.1 \(status)\r\n"))
            try await eventually { port.adapter.statistics.connections == 0 }
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: ["\u{16}\u{3}\u{1}\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "nonsense\r\n\r\n"]
    )
    func whatIsNoHTTPIsRefused(bytes: String) async throws {
        try await SharedPort.run { port in
            let raw = try await port.rawConnection()
            try await raw.send(bytes)
            #expect(try await raw.readToEnd().hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func anUpgradeOnAConnectionWithEarlierRequestsIsRetriedOnANewOne() async throws {
        try await SharedPort.run { port in
            let raw = try await port.rawConnection()
            try await raw.send(Self.get("/hello"))
            let first = try await raw.read(until: "hello")
            try await raw.send("GET /?id=1 HTTP/1.1\r\n" + Self.upgrade)
            #expect(try await raw.readToEnd() == first)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func limitsOfTheAdapterHold() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumConnections = 1
        configuration.authorize = { request in
            if request.headers[.userAgent] == "elsewhere" { throw UpgradeRejection.forbidden }
        }
        try await SharedPort.run(configuration: configuration) { port in
            let foreign = try await port.rawConnection()
            try await foreign.send("GET / HTTP/1.1\r\nUser-Agent: elsewhere\r\n" + Self.upgrade)
            #expect(try await foreign.readToEnd().hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
            try await eventually { port.adapter.statistics.connections == 0 }
            let client = try await port.connect("/?id=1")
            let second = try await port.rawConnection()
            try await second.send("GET / HTTP/1.1\r\n" + Self.upgrade)
            #expect(try await second.readToEnd().hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
            let http = try await port.rawConnection()
            try await http.send(Self.get("/hello"))
            #expect(try await http.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(try await client.request("echo", 1) == 1)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func anUnfinishedRequestIsNotWaitedForLong() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.handshakeTimeout = .seconds(3)
        try await SharedPort.run(configuration: configuration) { port in
            let client = try await port.connect("/?id=1")
            let silent = try await port.rawConnection()
            try await silent.send("GET / HT")
            #expect(try await silent.readToEnd() == "")
            #expect(try await client.request("echo", 1) == 1)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func clientsGetTheMessagesOfOtherServers() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await SharedPort.run(bus: hub.makeBus()) { port in
            try await withCluster(["other"], buses: [hub.makeBus()]) { servers in
                try await port.adapter.waitForBus()
                let client = try await port.connect("/?id=1")
                try servers[0].broadcast("news", 1)
                #expect(try await client.next("news") == 1)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: SharedPort.Order.allCases)
    func bothStopWithOpenClients(_ order: SharedPort.Order) async throws {
        try await SharedPort.run(order) { port in
            var clients: [TestClient] = []
            for id in 0..<20 { clients.append(try await port.connect("/?id=\(id)")) }
            let silent = try await port.rawConnection()
            let idle = try await port.rawConnection()
            try await idle.send(Self.get("/hello"))
            _ = try await idle.read(until: "hello")
            await port.beginShutdown()
            for client in clients {
                let close = try await client.closed()
                #expect(close.code == .goingAway)
            }
            #expect(try await silent.readToEnd() == "")
            _ = try await idle.readToEnd()
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func clientsAreClosedAtThePaceOfTheAdapter() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.shutdown.clientsPerSecond = 20
        try await SharedPort.run(configuration: configuration) { port in
            var clients: [TestClient] = []
            for id in 0..<20 { clients.append(try await port.connect("/?id=\(id)")) }
            let start = ContinuousClock.now
            await port.beginShutdown()
            for client in clients { #expect(try await client.closed().code == .goingAway) }
            // Each of the loops closes its part of 20 a second, however the clients are spread over them.
            #expect(ContinuousClock.now - start > .milliseconds(400))
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aClientThatDoesNotAnswerDoesNotHoldUpTheStop() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.closeTimeout = .milliseconds(200)
        configuration.shutdown.deadline = .seconds(1)
        try await SharedPort.run(configuration: configuration) { port in
            let raw = try await port.rawConnection()
            try await raw.send("GET /?id=1 HTTP/1.1\r\n" + Self.upgrade)
            _ = try await raw.read(until: "\r\n\r\n")
            await port.beginShutdown()
            _ = try await raw.readToEnd()
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func loopsOfTheApplicationAreNotThoseOfTheAdapter() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try await SharedPort.run(eventLoopGroup: group) { port in
            let client = try await port.connect("/?id=1")
            #expect(try await client.request("echo", 1) == 1)
        }
        try await group.shutdownGracefully()
    }
}
