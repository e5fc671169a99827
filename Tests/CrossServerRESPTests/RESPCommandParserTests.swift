import CrossServerRESP
import NIOCore
import Testing

@Suite struct RESPCommandParserTests {
    struct Sample: CustomTestStringConvertible {
        var bytes: String
        var arguments: [String]
        var testDescription: String { self.bytes.debugDescription }

        init(_ bytes: String, _ arguments: String...) {
            self.bytes = bytes
            self.arguments = arguments
        }
    }

    static let samples: [Sample] = [
        .init("*1\r\n$4\r\nPING\r\n", "PING"),
        .init("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", "ECHO", "\r\n\r\n"),
        .init("*3\r\n$7\r\nPUBLISH\r\n$0\r\n\r\n$4\r\nh€\r\n", "PUBLISH", "", "h€"),
        .init("*0\r\n*-1\r\n\r\n\n*1\r\n$1\r\na\r\n", "a"),
        .init("PING\r\n", "PING"),
        .init("PING\n", "PING"),
        .init("  echo \t hi  \r\n", "echo", "hi"),
        .init("\"PI\\x4eG\" \"a\\n\\\"b\\\\ \\r\\t\\a\\b\\q\\xg\"\r\n", "PING", "a\n\"b\\ \r\t\u{7}\u{8}qxg"),
        .init("echo 'it\\'s \\n' ''\r\n", "echo", "it's \\n", ""),
        .init("echo a\"b c\" d\r\n", "echo", "ab c", "d"),
    ]

    @Test(arguments: Self.samples)
    func commandIsTheSameInAnySplit(sample: Sample) {
        let input = bytes(sample.bytes + "*1\r\n$4\r\nnext\r\n" + sample.bytes + "*1\r\n$1\r\n")
        let expected = Parsed(
            values: [sample.arguments, ["next"], sample.arguments].map { $0.map { ByteBuffer(string: $0) } },
            unread: bytes("*1\r\n$1\r\n")
        )
        for pieces in input.splits {
            #expect(parseCommands(pieces) == expected)
        }
    }

    static let malformed: [(bytes: String, error: String)] = [
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$9999999999\r\n", "invalid bulk length"),
        ("*1\r\n$33554433\r\n", "invalid bulk length"),
        ("*99999999999\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*x\r\n", "invalid multibulk length"),
        ("*" + String(repeating: "1", count: 100), "invalid multibulk length"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n$3\r\nabcd\r\n", "expected CR LF behind a string"),
        ("PING 'a\r\n", "unbalanced quotes in request"),
        ("PING \"a\\\r\n", "unbalanced quotes in request"),
        ("PING \"a\"b\r\n", "unbalanced quotes in request"),
    ]

    @Test(arguments: Self.malformed)
    func malformedIsAnErrorInAnySplit(text: String, error: String) {
        for pieces in bytes("PING\r\n" + text).splits {
            let parsed = parseCommands(pieces)
            #expect(parsed.values == [[ByteBuffer(string: "PING")]])
            #expect(parsed.error?.description == error)
        }
    }

    @Test(arguments: [1_000, 70_000])
    func endlessLineIsRefused(size: Int) {
        let line = [UInt8](repeating: UInt8(ascii: "a"), count: 65_537)
        #expect(parseCommands(line.pieces(of: size)).error == .limitExceeded("too big inline request"))
        #expect(parseCommands(Array(line[..<65_536] + bytes("\n")).pieces(of: size)).values.count == 1)
    }

    @Test func limitsMayChange() throws {
        var parser = RESPCommandParser()
        parser.limits.maximumBulkLength = 4
        parser.limits.maximumElements = 2
        var buffer = ByteBuffer(string: "*2\r\n$4\r\nAUTH\r\n$4\r\nabcd\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$5\r\nabcde\r\n")
        #expect(try parser.next(from: &buffer)?.count == 2)
        parser.limits = RESPLimits()
        #expect(try parser.next(from: &buffer)?.count == 3)
        buffer.writeString("*3\r\n")
        parser.limits.maximumElements = 2
        #expect(throws: RESPError.limitExceeded("invalid multibulk length")) { try parser.next(from: &buffer) }
    }

    @Test func lengthOfACommandIsLimited() {
        var limits = RESPLimits()
        limits.maximumLength = 21
        #expect(parseCommands([bytes("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n")], limits).values.count == 1)
        limits.maximumLength = 20
        let error = RESPError.limitExceeded("too big request")
        #expect(parseCommands([bytes("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n")], limits).error == error)
    }

    @Test(.timeLimit(.minutes(1)))
    func largeCommandsInManyReadsTakeLinearTime() {
        var input = ByteBuffer()
        input.writeRESPCommand(Array(repeating: "argument", count: 100_000))
        input.writeString(String(repeating: "a", count: 60_000) + "\r\n")
        var parser = RESPCommandParser()
        var buffer = ByteBuffer()
        var counts: [Int] = []
        while let piece = input.readSlice(length: min(10, input.readableBytes)), piece.readableBytes > 0 {
            buffer.writeImmutableBuffer(piece)
            while let arguments = try? parser.next(from: &buffer) { counts.append(arguments.count) }
        }
        #expect(counts == [100_000, 1])
    }
}
