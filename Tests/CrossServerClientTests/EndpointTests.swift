import Testing

@testable import CrossServerClient

@Suite struct EndpointTests {
    @Test(
        arguments: [
            ("ws://localhost", false, "localhost", 80, "localhost", "/"),
            ("WS://localhost:9000", false, "localhost", 9000, "localhost:9000", "/"),
            ("wss://example.org", true, "example.org", 443, "example.org", "/"),
            ("wss://example.org:443/", true, "example.org", 443, "example.org", "/"),
            ("ws://example.org:443/a/b", false, "example.org", 443, "example.org:443", "/a/b"),
            ("ws://h:/a?x=1#part", false, "h", 80, "h", "/a?x=1"),
            ("ws://h?x=1", false, "h", 80, "h", "/?x=1"),
            ("ws://h#part", false, "h", 80, "h", "/"),
            ("ws://[::1]:81/a", false, "::1", 81, "[::1]:81", "/a"),
            ("ws://127.0.0.1:8081/é b", false, "127.0.0.1", 8081, "127.0.0.1:8081", "/%C3%A9%20b"),
        ] as [(String, Bool, String, Int, String, String)]
    )
    func splits(
        url: String,
        isSecure: Bool,
        host: String,
        port: Int,
        hostHeader: String,
        target: String
    ) throws {
        let endpoint = try Endpoint(url: url)
        #expect(endpoint.isSecure == isSecure)
        #expect(endpoint.host == host)
        #expect(endpoint.port == port)
        #expect(endpoint.hostHeader == hostHeader)
        #expect(endpoint.target == target)
    }

    @Test(arguments: [
        "", "localhost:9000", "http://localhost", "ws:/localhost", "ws://", "wss://", "ws:///path", "ws://:80",
        "ws://h:0", "ws://h:65536", "ws://h:8x", "ws://h:-1", "ws://user@h", "ws://[::1", "ws://[h]", "ws://[::1]x",
        "ws://h/a\r\nX-Evil: 1", "ws://h\n", "ws://h h/", "ws://\u{1F600}/", "ws://h:99999999999999999999",
    ])
    func refuses(url: String) throws {
        let error = #expect(throws: WebSocketConnectorError.self) { try WebSocketConnector(url: url) }
        #expect(error?.code == .invalidURL)
        #expect(error?.message.isEmpty == false)
    }

    @Test(
        arguments: [
            ("ws://h", ["id": "7", "name": "Sam é&", "arr": "1,2"], "/?id=7&name=Sam+%C3%A9%26&arr=1%2C2"),
            ("ws://h/a?x=1", ["y": "*-._~'()"], "/a?x=1&y=*-._%7E%27%28%29"),
            ("ws://h/a", [:], "/a"),
            ("ws://h", ["a": "1", "a": "2", "": ""], "/?a=1&a=2&="),
        ] as [(String, QueryParameters, String)]
    )
    func addsParameters(url: String, parameters: QueryParameters, target: String) throws {
        #expect(try Endpoint(url: url, parameters: parameters).target == target)
    }

    @Test(arguments: [("ws://h", "h"), ("ws://127.0.0.1", nil), ("ws://[::1]", nil), ("ws://1.example", "1.example")])
    func namesTheServerUnlessItIsAnAddress(url: String, name: String?) throws {
        #expect(try Endpoint(url: url).serverName == name)
    }
}
