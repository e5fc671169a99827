import CrossServerClient
import Testing

@testable import CrossServerCommand

@Suite struct ConnectLineTests {
    @Test(
        arguments: [
            ("", .empty), ("   ", .empty), ("say", .request(event: "say", .absent)),
            ("  say  {\"msg\": \"a b\"}  ", .request(event: "say", ["msg": "a b"])),
            ("say 7", .request(event: "say", 7)), ("/help", .help), ("/history", .history), ("/ping", .ping),
            ("/quit", .quit), ("/send say", .send(event: "say", .absent)), ("/send /x [1]", .send(event: "/x", [1])),
        ] as [(String, ConnectLine)]
    )
    func lines(line: String, means: ConnectLine) throws {
        let parsed = try ConnectLine(line)
        switch (parsed, means) {
        case (.request(let event, let payload), .request(let expectedEvent, let expectedPayload)),
            (.send(let event, let payload), .send(let expectedEvent, let expectedPayload)):
            #expect(event == expectedEvent)
            #expect(payload.json.filter { $0 != " " } == expectedPayload.json.filter { $0 != " " })
        default:
            #expect(parsed == means)
        }
    }

    @Test func aSlashIsAnEventWhereThereAreNoCommands() throws {
        #expect(try ConnectLine("/help", allowsCommands: false) == .request(event: "/help", .absent))
    }

    @Test(arguments: [
        ("say {msg: 1}", 5), ("say {\"é日\": x}", 11), ("say {\"a\":1", 10), ("/nothing", 0), ("/send", nil),
        ("say 1 2", 6),
    ])
    func problems(line: String, position: Int?) {
        let problem = #expect(throws: ConnectLine.Problem.self) { try ConnectLine(line) }
        #expect(problem?.position == position)
    }

    @Test func theMarkStandsUnderTheTrouble() throws {
        let line = "say {\"日\": x}"
        let problem = try #require(throws: ConnectLine.Problem.self) { try ConnectLine(line) }
        let expected = """
            not JSON: this cannot stand here (character 11)
              say {"日": x}
                         ^
            """
        #expect(problem.text(line: line) == expected)
    }
}

@Suite struct LineSplitterTests {
    @Test func linesInPieces() {
        var splitter = LineSplitter()
        #expect(splitter.append(Array("a".utf8)) == [])
        #expect(splitter.append(Array("b\ncd\r\n\ne".utf8)) == [.text("ab"), .text("cd"), .text("")])
        #expect(splitter.finish() == .text("e"))
        #expect(splitter.finish() == .text(""))
    }

    @Test func whatIsNoTextOrTooLong() {
        var splitter = LineSplitter()
        #expect(splitter.append([0xFF, 0x0A]) == [.notUTF8])
        let long = [UInt8](repeating: 0x61, count: LineSplitter.maximumLength + 1)
        #expect(splitter.append(long) == [])
        #expect(splitter.append(long + [0x0A, 0x62, 0x0A]) == [.tooLong, .text("b")])
    }
}
