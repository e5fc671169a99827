import CrossServerRESP
import NIOCore
import Testing

@Suite struct RESPWriterTests {
    @Test(arguments: [
        (RESPValue.simpleString("OK"), "+OK\r\n", "+OK\r\n"),
        (.simpleString("a\r\nb"), "+a  b\r\n", "+a  b\r\n"),
        (.simpleError("ERR a\nb"), "-ERR a b\r\n", "-ERR a b\r\n"),
        (.integer(-12), ":-12\r\n", ":-12\r\n"),
        (.integer(.min), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (.integer(.max), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
        (bulk("h€"), "$4\r\nh€\r\n", "$4\r\nh€\r\n"),
        (.null, "$-1\r\n", "_\r\n"),
        (.boolean(true), ":1\r\n", "#t\r\n"),
        (.boolean(false), ":0\r\n", "#f\r\n"),
        (.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (.double(10), "$2\r\n10\r\n", ",10\r\n"),
        (.double(1e300), "$6\r\n1e+300\r\n", ",1e+300\r\n"),
        (.double(-.infinity), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (.double(.nan), "$3\r\nnan\r\n", ",nan\r\n"),
        (.bigNumber("123"), "$3\r\n123\r\n", "(123\r\n"),
        (.bulkError("ERR a\nb"), "-ERR a b\r\n", "!7\r\nERR a\nb\r\n"),
        (.verbatimString(format: "txt", ByteBuffer(string: "a")), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
        (.set([.null]), "*1\r\n$-1\r\n", "~1\r\n_\r\n"),
        (.push([.integer(1)]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
        (.map([.init(key: bulk("k"), value: .null)]), "*2\r\n$1\r\nk\r\n$-1\r\n", "%1\r\n$1\r\nk\r\n_\r\n"),
        (.array([.array([]), .boolean(true)]), "*2\r\n*0\r\n:1\r\n", "*2\r\n*0\r\n#t\r\n"),
    ])
    func values(value: RESPValue, resp2: String, resp3: String) {
        for (version, expected) in [(RESPVersion.resp2, resp2), (.resp3, resp3)] {
            var buffer = ByteBuffer()
            buffer.writeRESP(value, version: version)
            #expect(String(buffer: buffer) == expected)
        }
    }

    @Test func commands() {
        let expected = "*3\r\n$7\r\nPUBLISH\r\n$7\r\ncsbp:ä\r\n$12\r\n0123456789\r\n\r\n"
        var texts = ByteBuffer()
        texts.writeRESPCommand(["PUBLISH", "csbp:ä", "0123456789\r\n"])
        #expect(String(buffer: texts) == expected)
        var buffers = ByteBuffer()
        buffers.writeRESPCommand(["PUBLISH", "csbp:ä", "0123456789\r\n"].map { ByteBuffer(string: $0) })
        #expect(String(buffer: buffers) == expected)
        var publish = ByteBuffer()
        publish.writePublish(channel: "csbp:ä", message: ByteBuffer(string: "0123456789\r\n"))
        #expect(String(buffer: publish) == expected)
    }

    @Test(arguments: [0, 9, 10, 99, 100, 65_535, 65_536, 1_000_000])
    func publishOfAnySizeIsReadAgain(size: Int) {
        let message = ByteBuffer(repeating: 0x0D, count: size)
        var buffer = ByteBuffer()
        buffer.writePublish(channel: "", message: message)
        let expected = [ByteBuffer(string: "PUBLISH"), ByteBuffer(), message]
        #expect(parseCommands([Array(buffer.readableBytesView)]).values == [expected])
    }

    @Test(arguments: RESPParserTests.samples)
    func whatIsReadCanBeWritten(sample: RESPParserTests.Sample) {
        var buffer = ByteBuffer()
        buffer.writeRESP(sample.value, version: .resp3)
        #expect(parse([Array(buffer.readableBytesView)]) == Parsed(values: [sample.value]))
    }
}
