import HTTPTypes
import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct HTTPHeadParserTests {
    static func parse(_ text: String, pieces: Int = .max, maximumSize: Int = 1_024) throws -> (HTTPHead, String)? {
        var parser = HTTPHeadParser(maximumSize: maximumSize)
        for piece in Array(text.utf8).pieces(of: min(pieces, max(1, text.utf8.count))) {
            if let (head, rest) = try parser.parse(ByteBuffer(bytes: piece)) {
                return (head, String(buffer: rest))
            }
        }
        return nil
    }

    @Test(arguments: [1, 2, 3, 7, .max])
    func aHeadInPieces(size: Int) throws {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\nEmpty:\r\nSpaces: \t a b \t\r\nTwice: 1\r\ntwice: 2\r\n\r\n"
        let (head, _) = try #require(try Self.parse(text, pieces: size))
        let line = try head.requestLine()
        #expect(line.method == "GET" && line.target == "/a" && line.minorVersion == 1)
        let name = { (name: String) throws in try #require(HTTPField.Name(name)) }
        #expect(head.fields[try name("host")] == "x")
        #expect(head.fields[try name("empty")] == "")
        #expect(head.fields[try name("spaces")] == "a b")
        #expect(head.fields[values: try name("Twice")] == ["1", "2"])
    }

    @Test func theRestIsKept() throws {
        let (_, rest) = try #require(try Self.parse("GET / HTTP/1.1\r\n\r\nrest\r\n\r\n"))
        #expect(rest == "rest\r\n\r\n")
    }

    @Test(arguments: [
        "GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\n\n", "\r\n", "GET / HTTP/1.1\r\rHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\nA: b\u{0}c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\u{7F}\r\n\r\n", "\u{16}\u{3}\u{1}", "GET / HTTP/1.1\r\nA\u{1}: b\r\n\r\n",
        "GET / HTTP/1.1\r\nÄ: b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
    ])
    func malformed(text: String) {
        for size in [1, .max] {
            #expect { try Self.parse(text, pieces: size) } throws: { error in
                if case HTTPHeadError.malformed = error { true } else { false }
            }
        }
    }

    @Test(arguments: [
        "GET /", "GET  / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET / HTTP/2.0", "GET / http/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1", "GET /é HTTP/1.1", "GET / HTTP/1.11", "/ HTTP/1.1", "GET * HTTP/1.1", "GET a/b HTTP/1.1",
    ])
    func wrongRequestLine(line: String) {
        #expect(throws: HTTPHeadError.malformed("invalid request line")) {
            try HTTPHead(firstLine: line, fields: [:]).requestLine()
        }
    }

    @Test(arguments: [
        "HTTP/1.1", "HTTP/1.1 99 x", "HTTP/1.1 1000 x", "HTTP/2 101 x", "HTTP/1.1  101", "HTTP/1.1 +10 x",
        "HTTP/1.1 600 x",
    ])
    func wrongStatusLine(line: String) {
        #expect(throws: HTTPHeadError.malformed("invalid status line")) {
            try HTTPHead(firstLine: line, fields: [:]).statusLine()
        }
    }

    @Test func statusLine() throws {
        let (status, reason) = try HTTPHead(firstLine: "HTTP/1.1 101 Switching Protocols", fields: [:]).statusLine()
        #expect(status == 101 && reason == "Switching Protocols")
        #expect(try HTTPHead(firstLine: "HTTP/1.0 404", fields: [:]).statusLine().status == 404)
    }

    @Test func sizeAndNumberAreLimited() throws {
        let exact = "GET / HTTP/1.1\r\nA: " + String(repeating: "x", count: 1_024 - 23) + "\r\n\r\n"
        #expect(exact.utf8.count == 1_024)
        #expect(try Self.parse(exact) != nil)
        #expect(try Self.parse(exact + "rest") != nil)
        for size in [1, 100, .max] {
            #expect(throws: HTTPHeadError.tooLarge) { try Self.parse(exact, pieces: size, maximumSize: 1_023) }
            #expect(throws: HTTPHeadError.tooLarge) {
                try Self.parse("GET /" + String(repeating: "x", count: 2_000), pieces: size)
            }
        }
        let fields = String(repeating: "a: b\r\n", count: 100)
        #expect(try Self.parse("GET / HTTP/1.1\r\n" + fields + "\r\n")?.0.fields.count == 100)
        #expect(throws: HTTPHeadError.tooLarge) { try Self.parse("GET / HTTP/1.1\r\n" + fields + "a: b\r\n\r\n") }
    }
}
