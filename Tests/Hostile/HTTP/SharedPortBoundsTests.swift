import CrossServer
import CrossServerHummingbird
import CrossServerTesting
import HummingbirdCore
import NIOCore
import Testing

@testable import CrossServerHummingbirdTests

@Suite(.timeLimit(.minutes(2)))
struct SharedPortBoundsTests {
    private typealias Configuration = WebSocketCrossServerAdapter.Configuration

    private static func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n" }

    private static func upgrade(_ field: String) -> String {
        """
        GET / HTTP/1.1\r
        Host: localhost:80\r
        Connection: Upgrade\r
        Upgrade: websocket\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
        Sec-WebSocket-Version: 13\r
        \(field)\r
        \r

        """
    }

    @Test func connectionsOfHTTPAreBounded() async throws {
        var configuration = Configuration()
        configuration.limits.maximumConnections = 2
        try await SharedPort.run(configuration: configuration) { port in
            // A client, which is counted apart, an idle connection and half a request.
            let client = try await port.connect("/?id=1")
            let idle = try await port.rawConnection()
            try await idle.send(Self.get("/hello"))
            _ = try await idle.read(until: "hello")
            let half = try await port.rawConnection()
            try await half.send(Self.get("/hello"))
            _ = try await half.read(until: "hello")
            try await half.send("GET /hel")
            try await eventually {
                let third = try await port.rawConnection()
                let answer = try await third.readToEnd()
                return answer.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n")
            }
            #expect(try await client.request("echo", 1) == 1)
            try await idle.close()
            try await eventually {
                let next = try await port.rawConnection()
                // One that is refused is closed already.
                do { try await next.send(Self.get("/hello")) } catch is ChannelError { return false }
                return try await next.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n")
            }
            try await half.close()
        }
    }

    @Test(arguments: ["", "GET /hel", "POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab"])
    func silenceAfterARequestEndsTheConnection(next: String) async throws {
        let builder = { (adapter: WebSocketCrossServerAdapter) in
            HTTPServerBuilder.http1WebSocketUpgrade(to: adapter, configuration: .init(idleTimeout: .milliseconds(500)))
        }
        try await SharedPort.run(server: builder) { port in
            let connection = try await port.rawConnection()
            try await connection.send(Self.get("/hello"))
            _ = try await connection.read(until: "hello")
            if !next.isEmpty { try await connection.send(next) }
            _ = try await connection.readToEnd()
        }
    }

    @Test func whoTakesNothingOfAnAnswerIsCut() async throws {
        var configuration = Configuration()
        configuration.limits.maximumConnections = 1
        let builder = { (adapter: WebSocketCrossServerAdapter) in
            HTTPServerBuilder.http1WebSocketUpgrade(to: adapter, configuration: .init(idleTimeout: .milliseconds(500)))
        }
        try await SharedPort.run(configuration: configuration, server: builder) { port in
            let deaf = try await port.rawConnection()
            try await deaf.setReading(false)
            // More than the kernels of both keep. It was accepted first, and so has the place.
            try await deaf.send(Self.get("/large"))
            try await eventually { try await !Self.isRefused(port) }
            try await deaf.close()
        }
    }

    /// Whether there is no place for another connection of HTTP.
    private static func isRefused(_ port: SharedPort) async throws -> Bool {
        let connection = try await port.rawConnection()
        // One that is refused may be closed already.
        try? await connection.send("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return try await connection.readToEnd().hasPrefix("HTTP/1.1 503 ")
    }

    @Test(
        arguments: [
            ([], "", true), ([], "Origin: http://localhost", true), ([], "Origin: https://LOCALHOST:8443", true),
            ([], "Origin: https://elsewhere.example", false), ([], "Origin: http://localhost.elsewhere.example", false),
            ([], "Origin: http://elsewhere.example/localhost", false), ([], "Origin: null", false),
            ([], "Origin: ", false), ([], "Origin: localhost", false), ([], "Origin: http://localhost@evil", false),
            ([], "Origin: http://localhost\r\nOrigin: http://evil.example", false),
            (["https://a.example"], "Origin: https://a.example:443", true),
            (["https://a.example"], "Origin: http://a.example", false),
            (["https://a.example:444"], "Origin: https://a.example", false),
            (["a.example"], "Origin: http://a.example:81", true), (["a.example"], "Origin: http://localhost", true),
            (["A.example"], "Origin: http://b.a.example", false), (["null"], "Origin: null", true),
        ] as [([String], String, Bool)]
    )
    func pagesOfOtherHostsMayNotConnect(allowed: [String], field: String, isAllowed: Bool) async throws {
        var configuration = Configuration()
        configuration.allowedOrigins = AllowedOrigins(allowed)
        try await SharedPort.run(configuration: configuration) { port in
            let connection = try await port.rawConnection()
            try await connection.send(Self.upgrade(field.isEmpty ? "X-None: 1" : field))
            let answer = try await connection.read(until: isAllowed ? "\r\n\r\n" : "allow-origin")
            #expect(answer.hasPrefix(isAllowed ? "HTTP/1.1 101 " : "HTTP/1.1 403 "), "\(answer)")
            #expect(isAllowed || answer.contains("Configuration.allowedOrigins"))
            #expect(port.adapter.statistics.connectionsRefused == (isAllowed ? 0 : 1))
            try await connection.close()
        }
    }

    @Test func anyPageMayConnectWhenThatIsWanted() async throws {
        var configuration = Configuration()
        configuration.allowedOrigins = .any
        try await SharedPort.run(configuration: configuration) { port in
            let connection = try await port.rawConnection()
            try await connection.send(Self.upgrade("Origin: https://elsewhere.example"))
            #expect(try await connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
            try await connection.close()
        }
    }
}
