import CrossServerRESP
import NIOCore
import Testing

@Suite struct RESPParserTests {
    struct Sample: CustomTestStringConvertible {
        var bytes: String
        var value: RESPValue
        var testDescription: String { self.bytes.debugDescription }

        init(_ bytes: String, _ value: RESPValue) {
            self.bytes = bytes
            self.value = value
        }
    }

    static let samples: [Sample] = [
        .init("+\r\n", .simpleString("")),
        .init("+OK\r\n", .simpleString("OK")),
        .init("+hé€𐍈\r\n", .simpleString("hé€𐍈")),
        .init("-ERR no\r\n", .simpleError("ERR no")),
        .init(":0\r\n", .integer(0)),
        .init(":-0\r\n", .integer(0)),
        .init(":+7\r\n", .integer(7)),
        .init(":007\r\n", .integer(7)),
        .init(":9223372036854775807\r\n", .integer(.max)),
        .init(":-9223372036854775808\r\n", .integer(.min)),
        .init("$0\r\n\r\n", bulk("")),
        .init("$4\r\n\r\n\r\n\r\n", bulk("\r\n\r\n")),
        .init("$-1\r\n", .null),
        .init("*-1\r\n", .null),
        .init("_\r\n", .null),
        .init("*0\r\n", .array([])),
        .init("*1\r\n*1\r\n*0\r\n", .array([.array([.array([])])])),
        .init("*3\r\n$-1\r\n*-1\r\n:1\r\n", .array([.null, .null, .integer(1)])),
        .init("#t\r\n", .boolean(true)),
        .init("#f\r\n", .boolean(false)),
        .init(",1.5\r\n", .double(1.5)),
        .init(",10\r\n", .double(10)),
        .init(",-1.2e-3\r\n", .double(-0.0012)),
        .init(",inf\r\n", .double(.infinity)),
        .init(",-inf\r\n", .double(-.infinity)),
        .init("(34928903284092385093248509438509438250\r\n", .bigNumber("34928903284092385093248509438509438250")),
        .init("(-12\r\n", .bigNumber("-12")),
        .init("!5\r\nERR x\r\n", .bulkError("ERR x")),
        .init("=7\r\ntxt:a\r\n\r\n", .verbatimString(format: "txt", ByteBuffer(string: "a\r\n"))),
        .init("=4\r\nmkd:\r\n", .verbatimString(format: "mkd", ByteBuffer())),
        .init("~2\r\n:1\r\n:1\r\n", .set([.integer(1), .integer(1)])),
        .init("%0\r\n", .map([])),
        .init(
            "%2\r\n+a\r\n:1\r\n:2\r\n*1\r\n_\r\n",
            .map([
                .init(key: .simpleString("a"), value: .integer(1)), .init(key: .integer(2), value: .array([.null])),
            ])
        ),
        .init(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", .push([.simpleString("invalidate"), .array([bulk("k")])])),
        .init("|0\r\n:1\r\n", .integer(1)),
        .init("|1\r\n+k\r\n*2\r\n:1\r\n:2\r\n|1\r\n+k\r\n%1\r\n:1\r\n:2\r\n:3\r\n", .integer(3)),
        .init("*2\r\n|1\r\n+ttl\r\n:9\r\n$1\r\na\r\n|0\r\n$1\r\nb\r\n", .array([bulk("a"), bulk("b")])),
        .init("*1\r\n|1\r\n|1\r\n:1\r\n:2\r\n:3\r\n:4\r\n*0\r\n", .array([.array([])])),
    ]

    @Test(arguments: Self.samples)
    func valueIsTheSameInAnySplit(sample: Sample) {
        let input = bytes(sample.bytes + "+next\r\n" + sample.bytes + ":1")
        let expected = Parsed(values: [sample.value, .simpleString("next"), sample.value], unread: bytes(":1"))
        #expect(parse([input]) == expected)
        for pieces in input.splits {
            #expect(parse(pieces) == expected)
        }
    }

    @Test(arguments: Self.samples)
    func noPrefixIsAValue(sample: Sample) {
        let input = bytes(sample.bytes)
        for length in 0..<input.count {
            let prefix = Array(input[..<length])
            #expect(parse([prefix]) == Parsed(unread: prefix))
        }
    }

    @Test func notANumber() throws {
        guard case .double(let number)? = parse([bytes(",nan\r\n")]).values.first else {
            Issue.record("no double")
            return
        }
        #expect(number.isNaN)
    }

    @Test func textThatIsNotUTF8IsReplaced() {
        #expect(parse([[0x2B, 0xFF, 0x0D, 0x0A]]).values == [.simpleString("\u{FFFD}")])
    }

    static let malformed = [
        "x\r\n", "\r\n", "PONG\r\n", "\0", "HTTP/1.1 400 Bad Request\r\n",
        "+a\rb\r\n", "-a\rb\r\n", "+a\n", "+a\n\r\n",
        ":\r\n", ":-\r\n", ":+-1\r\n", ":1 \r\n", ": 1\r\n", ":1a\r\n", ":1\n", ":1\rx", ":1.5\r\n",
        ":9223372036854775808\r\n", ":-9223372036854775809\r\n", ":99999999999999999999999\r\n",
        ":000000000000000000000\r\n",
        "$\r\n", "$-2\r\n", "$x\r\n", "$1\r\nab\r\n", "$1\r\na\rb", "$2\r\na\r\n\r\n", "$?\r\n",
        "$18446744073709551616\r\n",
        "*-2\r\n", "*x\r\n", "*?\r\n", "*1\r\nx", "*2\r\n:1\r\n:x\r\n",
        "%-1\r\n", "~-1\r\n", ">-1\r\n", "|-1\r\n", "!-1\r\n", "=-1\r\n",
        "=3\r\ntxt\r\n", "=0\r\n\r\n", "=4\r\ntxt-\r\n", "=4\r\nté:\r\n",
        "#\r\n", "#x\r\n", "#tt\r\n", "_x\r\n",
        ",\r\n", ",x\r\n", ",1,5\r\n", ",0x1p3\r\n", ",infinity\r\n", ",1e\r\n", ",+-1\r\n",
        "(\r\n", "(-\r\n", "(1.5\r\n", "(1e5\r\n",
    ]

    @Test(arguments: Self.malformed)
    func malformedIsAnErrorInAnySplit(text: String) {
        let expected = parse([bytes(":1\r\n" + text)])
        guard case .invalid? = expected.error else {
            Issue.record("\(expected)")
            return
        }
        #expect(expected.values == [.integer(1)])
        for pieces in bytes(":1\r\n" + text).splits {
            #expect(parse(pieces) == expected)
        }
    }

    /// Each is allowed with the limits as they are, and refused with any of them one less.
    @Test(arguments: [
        ("$10\r\n0123456789\r\n", \RESPLimits.maximumBulkLength, 10),
        ("=10\r\ntxt:456789\r\n", \.maximumBulkLength, 10),
        ("+0123456789\r\n", \.maximumLineLength, 10),
        ("(0123456789\r\n", \.maximumLineLength, 10),
        ("*2\r\n*2\r\n:1\r\n:1\r\n:1\r\n", \.maximumElements, 4),
        ("%2\r\n:1\r\n~1\r\n:1\r\n:1\r\n:1\r\n", \.maximumElements, 5),
        ("|1\r\n:1\r\n:1\r\n|0\r\n:1\r\n", \.maximumElements, 4),
        ("*1\r\n%1\r\n:1\r\n>1\r\n:1\r\n", \.maximumDepth, 3),
        ("*1\r\n|1\r\n*0\r\n:1\r\n:1\r\n", \.maximumDepth, 3),
        ("*1\r\n$1\r\na\r\n", \.maximumLength, 11),
        ("*2\r\n:1\r\n:1\r\n", \.maximumLength, 12),
    ])
    func limits(text: String, limit: any WritableKeyPath<RESPLimits, Int> & Sendable, value: Int) {
        var limits = RESPLimits()
        limits[keyPath: limit] = value
        let allowed = parse([bytes(text)], limits)
        #expect(allowed.values.count == 1 && allowed.error == nil)
        limits[keyPath: limit] = value - 1
        for pieces in bytes(text).splits + [[bytes(text)]] {
            guard case .limitExceeded? = parse(pieces, limits).error else {
                Issue.record("\(pieces.count) pieces: \(parse(pieces, limits))")
                return
            }
        }
    }

    /// The announcement is enough.
    @Test(arguments: ["$33554433\r\n", "*1048577\r\n", "%524289\r\n", ">1048577\r\n", "*9223372036854775807\r\n"])
    func hugeAnnouncementIsRefusedAtOnce(text: String) {
        guard case .limitExceeded? = parse([bytes(text)]).error else {
            Issue.record("\(parse([bytes(text)]))")
            return
        }
    }

    @Test func endlessLineIsRefused() {
        let line = [UInt8](repeating: UInt8(ascii: "a"), count: 65_537)
        #expect(parse([bytes("+") + line]).error != nil)
        #expect(parse([bytes("+") + line[..<65_536] + bytes("\r\n")]).values.count == 1)
    }

    @Test func deepNestingIsRefusedEarly() {
        let opening = String(repeating: "*1\r\n", count: 17)
        #expect(parse([bytes(opening)]).error != nil)
        #expect(parse(bytes(opening).pieces(of: 1)).error != nil)
    }

    /// Looking at everything again for each read would take minutes here.
    @Test(.timeLimit(.minutes(1)))
    func largeValuesInManyReadsTakeLinearTime() {
        let count = 100_000
        var input = ByteBuffer()
        input.writeRESP(.array(Array(repeating: bulk("element"), count: count)), version: .resp2)
        input.writeRESP(.simpleString(String(repeating: "a", count: 60_000)), version: .resp2)
        var parser = RESPParser()
        var buffer = ByteBuffer()
        var values: [RESPValue] = []
        while let piece = input.readSlice(length: min(10, input.readableBytes)), piece.readableBytes > 0 {
            buffer.writeImmutableBuffer(piece)
            while let value = try? parser.next(from: &buffer) { values.append(value) }
        }
        #expect(values.count == 2)
        #expect(values.first?.elements?.count == count)
    }

    @Test(arguments: [
        "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n", "*3\r\n$7\r\nmessage\r\n$0\r\n\r\n$0\r\n\r\n",
    ])
    func messages(_ text: String) throws {
        let whole = ByteBuffer(string: text + text)
        var buffer = whole
        var parser = RESPParser()
        let message = try #require(parser.nextMessage(from: &buffer))
        #expect(buffer == ByteBuffer(string: text))
        var again = whole
        let value = try parser.next(from: &again)
        let kind = ByteBuffer(string: "message")
        #expect(value == .array([.bulkString(kind), .bulkString(message.channel), .bulkString(message.payload)]))
        // What is not all there stays, and is read when it is.
        for length in 0..<text.utf8.count {
            var part = ByteBuffer(bytes: text.utf8.prefix(length))
            #expect(parser.nextMessage(from: &part) == nil)
            #expect(part.readableBytes == length)
            #expect(try parser.next(from: &part) == nil)
            part.writeBytes(text.utf8.dropFirst(length))
            if length > 0 { #expect(parser.nextMessage(from: &part) == nil) }
            #expect(try parser.next(from: &part) == value)
        }
    }

    /// A null takes the place of a string that is too long, however it comes and whatever it is in.
    @Test(arguments: [
        ("$5\r\nhello\r\n", RESPValue.null),
        ("*3\r\n$4\r\nmess\r\n$2\r\nch\r\n$9\r\nmuch\r\nthe\r\n", .array([bulk("mess"), bulk("ch"), .null])),
        (">3\r\n$4\r\nmess\r\n$2\r\nch\r\n$9\r\nmuch\r\nthe\r\n", .push([bulk("mess"), bulk("ch"), .null])),
        ("*2\r\n$5\r\nhello\r\n*2\r\n=8\r\ntxt:long\r\n:1\r\n", .array([.null, .array([.null, .integer(1)])])),
        ("%1\r\n!6\r\nERR no\r\n$4\r\nfour\r\n", .map([.init(key: .null, value: bulk("four"))])),
    ])
    func aStringBeyondTheLimitIsPassedOver(text: String, value: RESPValue) {
        var limits = RESPLimits()
        limits.maximumBulkLength = 4
        limits.maximumSkippedLength = 9
        let input = bytes(text + "+next\r\n" + text + ":1")
        let expected = Parsed(values: [value, .simpleString("next"), value], unread: bytes(":1"))
        #expect(parse([input], limits) == expected)
        for pieces in input.splits { #expect(parse(pieces, limits) == expected) }
    }

    @Test func whatIsPassedOverIsCountedAndNotKept() throws {
        var limits = RESPLimits()
        limits.maximumBulkLength = 1_000
        limits.maximumSkippedLength = 1_000_000
        var parser = RESPParser(limits: limits)
        var buffer = ByteBuffer(string: "*2\r\n+a\r\n$1000000\r\n")
        for _ in 0..<1_000 {
            #expect(try parser.next(from: &buffer) == nil)
            #expect(buffer.readableBytes == 0)
            buffer = ByteBuffer(repeating: 0x78, count: 1_000)
        }
        #expect(try parser.next(from: &buffer) == nil)
        #expect(parser.skippedStrings == 0)
        buffer.writeString("\r\n+b\r\n")
        #expect(try parser.next(from: &buffer) == .array([.simpleString("a"), .null]))
        #expect(parser.skippedStrings == 1)
        #expect(try parser.next(from: &buffer) == .simpleString("b"))
    }

    @Test(arguments: ["$6\r\nhellos\r\n", "*1\r\n$5\r\nhelloXX", "$99999999999\r\n"])
    func whatCannotBePassedOverIsAnError(text: String) {
        var limits = RESPLimits()
        limits.maximumBulkLength = 4
        limits.maximumSkippedLength = 5
        for pieces in bytes(text).splits { #expect(parse(pieces, limits).error != nil) }
    }

    @Test(arguments: [
        "*3\r\n$7\r\nMESSAGE\r\n$1\r\na\r\n$1\r\nb\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n:1\r\n$1\r\nb\r\n", "*3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nb\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nbcd", "*3\r\n$7\r\nmessage\r\n$99999999999999999999999\r\na",
        ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    ])
    func notAMessage(_ text: String) {
        var buffer = ByteBuffer(string: text)
        #expect(RESPParser().nextMessage(from: &buffer) == nil)
        #expect(buffer == ByteBuffer(string: text))
    }

    @Test func aMessageBeyondTheLimitsIsLeft() {
        var limits = RESPLimits()
        limits.maximumBulkLength = 4
        var buffer = ByteBuffer(string: "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n")
        #expect(RESPParser(limits: limits).nextMessage(from: &buffer) == nil)
    }

    @Test func bulkStringsAreSlicesOfTheInput() throws {
        var buffer = ByteBuffer(string: "$5\r\nhello\r\n$5\r\nthere\r\n")
        let address = buffer.withUnsafeReadableBytes { $0.baseAddress.map { $0 + 4 } }
        var parser = RESPParser()
        let value = try #require(try parser.next(from: &buffer)?.bytes)
        #expect(value.withUnsafeReadableBytes { $0.baseAddress } == address)
    }

    @Test func accessors() {
        #expect(RESPValue.simpleString("a").string == "a")
        #expect(bulk("a").string == "a")
        #expect(RESPValue.integer(1).string == nil)
        #expect(RESPValue.bulkError("ERR").errorMessage == "ERR")
        #expect(RESPValue.push([.null]).elements == [.null])
        let entries = [RESPMapEntry(key: bulk("k"), value: .integer(1))]
        #expect(RESPValue.map(entries).entries == entries)
        #expect(RESPValue.array([bulk("k"), .integer(1)]).entries == entries)
        #expect(RESPValue.array([bulk("k")]).entries == nil)
    }
}
