import HTTPTypes
import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct HandshakeTests {
    static func request(_ change: (inout UpgradeRequest) -> Void = { _ in }) throws -> UpgradeRequest {
        let host = try #require(HTTPField.Name("Host"))
        var request = UpgradeRequest(
            target: "/chat",
            headers: [
                host: "server.example.com",
                .upgrade: "websocket",
                .connection: "keep-alive, Upgrade",
                .secWebSocketKey: "dGhlIHNhbXBsZSBub25jZQ==",
                .secWebSocketVersion: "13",
            ]
        )
        change(&request)
        return request
    }

    @Test func exampleOfTheStandard() throws {
        let acceptance = try ServerHandshake.accept(Self.request())
        #expect(acceptance.headers[.secWebSocketAccept] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(acceptance.headers[.upgrade] == "websocket")
        #expect(acceptance.headers[.connection] == "Upgrade")
        #expect(acceptance.headers[.secWebSocketExtensions] == nil)
        #expect(acceptance.subprotocol == nil && acceptance.deflate == nil)
    }

    struct Wrong: CustomTestStringConvertible {
        var testDescription: String
        var status: Int
        var change: @Sendable (inout UpgradeRequest) -> Void

        init(_ description: String, _ status: Int, _ change: @escaping @Sendable (inout UpgradeRequest) -> Void) {
            self.testDescription = description
            self.status = status
            self.change = change
        }
    }

    static let wrong: [Wrong] = [
        .init("no upgrade", 426) { $0.headers[.upgrade] = nil },
        .init("another upgrade", 426) { $0.headers[.upgrade] = "h2c" },
        .init("POST", 405) { $0.method = "POST" },
        .init("no connection", 400) { $0.headers[.connection] = nil },
        .init("connection without upgrade", 400) { $0.headers[.connection] = "keep-alive" },
        .init("no host", 400) { $0.headers[values: .hostField] = [] },
        .init("two hosts", 400) { $0.headers[values: .hostField] = ["a", "b"] },
        .init("no version", 400) { $0.headers[.secWebSocketVersion] = nil },
        .init("version 8", 400) { $0.headers[.secWebSocketVersion] = "8" },
        .init("two versions", 400) { $0.headers[values: .secWebSocketVersion] = ["13", "13"] },
        .init("no key", 400) { $0.headers[.secWebSocketKey] = nil },
        .init("two keys", 400) {
            $0.headers[values: .secWebSocketKey] = ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="]
        },
        .init("short key", 400) { $0.headers[.secWebSocketKey] = "dGhlIHNhbXBsZSBub25j" },
        .init("key that is not base64", 400) { $0.headers[.secWebSocketKey] = "dGhlIHNhbXBsZSBub25j!Q==" },
        .init("body by length", 400) { $0.headers[.contentLength] = "3" },
        .init("body in chunks", 400) { $0.headers[.transferEncodingField] = "chunked" },
    ]

    @Test(arguments: Self.wrong)
    func wrongRequest(wrong: Wrong) throws {
        let request = try Self.request(wrong.change)
        let rejection = try #require(throws: UpgradeRejection.self) {
            try ServerHandshake.accept(request, deflate: .init())
        }
        #expect(rejection.status == wrong.status)
        if wrong.testDescription.contains("version") {
            #expect(rejection.headers[.secWebSocketVersion] == "13")
            #expect(rejection.body == "Bad Request")
        }
        if wrong.status == 426 {
            #expect(rejection.headers[.upgrade] == "websocket")
            #expect(rejection.body == "Upgrade Required")
        }
    }

    /// Empty members of a list mean nothing (RFC 9110, section 5.6.1), and what is not understood is declined.
    @Test(
        arguments: [
            ("", nil), (" , ,", nil), ("permessage-deflate, ", "permessage-deflate"),
            (", permessage-deflate", "permessage-deflate"), ("permessage-deflate;", nil), ("a b", nil), ("x=\"", nil),
            ("permessage-deflate;, x, permessage-deflate", "permessage-deflate"),
            ("x; a=\"b, permessage-deflate\"", nil), ("x; a=\"\\\",\", permessage-deflate", "permessage-deflate"),
        ] as [(String, String?)]
    )
    func extensionsThatAreDeclined(offers: String, answer: String?) throws {
        let request = try Self.request { $0.headers[.secWebSocketExtensions] = offers }
        let acceptance = try ServerHandshake.accept(request, deflate: .init())
        #expect(acceptance.headers[.secWebSocketExtensions] == answer)
        #expect(try ServerHandshake.accept(request).headers[.secWebSocketExtensions] == nil)
    }

    @Test(
        arguments: [
            ("", []), (" , ,", []), (", aa,,bb ,", ["aa", "bb"]), ("a b, cc", ["cc"]), ("aa, aa", ["aa", "aa"]),
        ] as [(String, [String])]
    )
    func subprotocolsThatAreDeclined(offered: String, understood: [String]) throws {
        let request = try Self.request { $0.headers[.secWebSocketProtocol] = offered }
        #expect(request.subprotocols == understood)
        let acceptance = try ServerHandshake.accept(request, subprotocol: "aa")
        #expect(acceptance.subprotocol == (understood.contains("aa") ? "aa" : nil))
    }

    @Test func emptyMembersOfOtherLists() throws {
        let request = try Self.request {
            $0.headers[.connection] = ", keep-alive,, Upgrade ,"
            $0.headers[.upgrade] = ",websocket, "
        }
        _ = try ServerHandshake.accept(request)
    }

    @Test func subprotocolAndCompression() throws {
        let request = try Self.request {
            $0.headers[values: .secWebSocketProtocol] = ["aa, bb", "cc"]
            $0.headers[.secWebSocketExtensions] = "permessage-deflate; client_max_window_bits"
            $0.headers[.contentLength] = "0"
        }
        #expect(request.subprotocols == ["aa", "bb", "cc"])
        let acceptance = try ServerHandshake.accept(request, subprotocol: "bb", deflate: .init())
        #expect(acceptance.headers[.secWebSocketProtocol] == "bb")
        #expect(acceptance.headers[.secWebSocketExtensions] == "permessage-deflate")
        #expect(acceptance.deflate == .init())
        #expect(try ServerHandshake.accept(request, subprotocol: "dd").headers[.secWebSocketProtocol] == nil)
    }

    @Test(arguments: [
        ("/", "/"), ("/a/b?id=7", "/a/b"), ("/a%20b%2Fc#f", "/a b/c"), ("/%ff", "/\u{FFFD}"), ("/%zz%4", "/%zz%4"),
        ("http://host/a?b", "/a"), ("http://host", "/"), ("/x?u=http://y/z", "/x"), ("/%C3%A9", "/é"),
    ])
    func path(target: String, path: String) {
        #expect(UpgradeRequest(target: target).path == path)
    }

    static func client(_ deflate: PerMessageDeflate? = nil) -> ClientHandshake {
        ClientHandshake(
            host: "localhost:9000",
            target: "/a?id=é b#gone",
            headers: [.userAgent: "test", .upgrade: "h2c"],
            subprotocols: ["aa", "bb"],
            deflate: deflate
        )
    }

    @Test func requestOfTheClient() throws {
        let handshake = Self.client(.init())
        var parser = HTTPHeadParser(maximumSize: 4_096)
        let (head, rest) = try #require(try parser.parse(handshake.request()))
        #expect(head.firstLine == "GET /a?id=%C3%A9%20b HTTP/1.1")
        #expect(rest.readableBytes == 0)
        #expect(head.fields[.userAgent] == "test")
        #expect(head.fields[values: .upgrade] == ["websocket"])
        let line = try head.requestLine()
        let request = UpgradeRequest(method: line.method, target: line.target, headers: head.fields)
        let acceptance = try ServerHandshake.accept(request, subprotocol: "bb", deflate: .init())
        let answer = UpgradeResponse(status: 101, headers: acceptance.headers)
        let result = try handshake.validate(answer)
        #expect(result.subprotocol == "bb")
        #expect(result.deflate == .init())
        #expect(handshake.key != Self.client().key)
    }

    @Test func aSubprotocolWithoutAValueIsNone() throws {
        let handshake = Self.client()
        let answer = UpgradeResponse(
            status: 101,
            headers: [
                .upgrade: "websocket", .connection: "upgrade", .secWebSocketProtocol: "",
                .secWebSocketAccept: HandshakeKey.accept(for: handshake.key),
            ]
        )
        #expect(try handshake.validate(answer).subprotocol == nil)
    }

    @Test(
        arguments: [
            .init("status") { $0.status = 200 },
            .init("upgrade") { $0.headers[.upgrade] = "h2c" },
            .init("connection") { $0.headers[.connection] = nil },
            .init("accept") { $0.headers[.secWebSocketAccept] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" },
            .init("no accept") { $0.headers[.secWebSocketAccept] = nil },
            .init("subprotocol") { $0.headers[.secWebSocketProtocol] = "cc" },
            .init("two subprotocols") { $0.headers[values: .secWebSocketProtocol] = ["aa", "bb"] },
            .init("extension") { $0.headers[.secWebSocketExtensions] = "x" },
            .init("compression not offered") { $0.headers[.secWebSocketExtensions] = "permessage-deflate" },
        ] as [WrongAnswer]
    )
    func wrongAnswer(wrong: WrongAnswer) throws {
        let handshake = Self.client()
        var response = UpgradeResponse(
            status: 101,
            headers: [
                .upgrade: "WebSocket", .connection: "upgrade",
                .secWebSocketAccept: HandshakeKey.accept(for: handshake.key),
            ]
        )
        _ = try handshake.validate(response)
        wrong.change(&response)
        #expect(throws: WebSocketHandshakeError.self) { try handshake.validate(response) }
    }

    struct WrongAnswer: CustomTestStringConvertible {
        var testDescription: String
        var change: @Sendable (inout UpgradeResponse) -> Void

        init(_ description: String, _ change: @escaping @Sendable (inout UpgradeResponse) -> Void) {
            self.testDescription = description
            self.change = change
        }
    }
}
