import NIOCore
import Testing

@testable import CrossServerWire

@Suite struct MessagePackValueTests {
    static let samples: [(MessagePackValue, String)] = [
        (.null, "c0"), (.bool(true), "c3"), (.bool(false), "c2"), (.int(0), "00"), (.int(-32), "e0"),
        (.int(-33), "d0df"),
        (.int(.max), "cf7fffffffffffffff"), (.int(.min), "d38000000000000000"), (.uint(.max), "cfffffffffffffffff"),
        (.float(1.5), "ca3fc00000"), (.double(1), "cb3ff0000000000000"), (.string("é"), "a2c3a9"),
        (.binary(ByteBuffer(bytes: [1, 2])), "c4020102"), (.array([.int(1), .null]), "9201c0"),
        (.map([.init(.string("a"), .int(1)), .init(.int(2), .array([]))]), "82a161010290"),
        (.map([.init(.string("a"), .int(1)), .init(.string("a"), .int(2))]), "82a16101a16102"),
        (.timestamp(.init(seconds: 0)), "d6ff00000000"), (.timestamp(.init(seconds: 4_294_967_295)), "d6ffffffffff"),
        (.timestamp(.init(seconds: 4_294_967_296)), "d7ff0000000100000000"),
        (.timestamp(.init(seconds: 1, nanoseconds: 999_999_999)), "d7ffee6b27fc00000001"),
        (.timestamp(.init(seconds: (1 << 34) - 1)), "d7ff00000003ffffffff"),
        (.timestamp(.init(seconds: 1 << 34)), "c70cff000000000000000400000000"),
        (.timestamp(.init(seconds: -1, nanoseconds: 1)), "c70cff00000001ffffffffffffffff"),
        (.ext(type: 5, ByteBuffer(bytes: [7])), "d40507"), (.ext(type: 5, ByteBuffer(bytes: [7, 8])), "d5050708"),
        (.ext(type: -5, ByteBuffer(bytes: [1, 2, 3])), "c703fb010203"), (.ext(type: 0, ByteBuffer()), "c70000"),
        (.ext(type: 127, ByteBuffer(repeating: 0, count: 4)), "d67f00000000"),
        (.ext(type: 1, ByteBuffer(repeating: 0, count: 8)), "d7010000000000000000"),
        (.ext(type: 1, ByteBuffer(repeating: 0, count: 16)), "d801" + String(repeating: "00", count: 16)),
    ]

    @Test(arguments: samples)
    func bothDirections(value: MessagePackValue, hex: String) throws {
        var buffer = ByteBuffer(string: "-")
        try value.write(into: &buffer)
        #expect(buffer.hex == "2d" + hex)
        buffer.moveReaderIndex(forwardBy: 1)
        #expect(try MessagePackValue(decoding: buffer) == value)
        for length in 0..<buffer.readableBytes {
            #expect(throws: MessagePackError.endOfData) { try MessagePackValue(decoding: buffer.slice(0..<length)) }
        }
    }

    @Test(arguments: [255, 256, 65_535, 65_536])
    func headsOfAllLengths(length: Int) throws {
        let data = ByteBuffer(repeating: 1, count: length)
        for value in [
            MessagePackValue.binary(data), .ext(type: 9, data), .array(Array(repeating: .null, count: length)),
            .map((0..<length).map { .init(.int(Int64($0)), .null) }),
        ] {
            var buffer = ByteBuffer()
            try value.write(into: &buffer)
            #expect(try MessagePackValue(decoding: buffer) == value)
        }
    }

    @Test(
        arguments: [("c1", .unknownType(offset: 0)), ("0000", .trailingBytes(offset: 1)), ("", .endOfData)]
            as [(String, MessagePackError)]
    )
    func refuses(hex: String, error: MessagePackError) {
        #expect(throws: error) { try MessagePackValue(decoding: ByteBuffer(hex: hex)) }
    }

    @Test(arguments: ["dfffffffff", "ddffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00", "91ddffffffff", "deffff"])
    func claimsTakeNoMemory(hex: String) {
        #expect(throws: MessagePackError.endOfData) {
            try MessagePackValue(decoding: ByteBuffer(hex: hex + String(repeating: "c0", count: 100)))
        }
    }

    @Test func limits() throws {
        let limits = MessagePackLimits(maximumDepth: 2, maximumElements: 5, maximumLength: 3)
        func read(_ hex: String) throws(MessagePackError) -> MessagePackValue {
            try MessagePackValue(decoding: ByteBuffer(hex: hex), limits: limits)
        }
        #expect(try read("9190") == .array([.array([])]))
        #expect(throws: MessagePackError.tooDeep(maximum: 2)) { try read("919190") }
        #expect(throws: MessagePackError.tooDeep(maximum: 2)) { try read("81c081c080") }
        #expect(try read("94c0c0c0c0") == .array(Array(repeating: .null, count: 4)))
        #expect(throws: MessagePackError.tooManyElements(maximum: 5)) { try read("95c0c0c0c0c0") }
        #expect(throws: MessagePackError.tooManyElements(maximum: 5)) { try read("93c092c0c0c0") }
        #expect(throws: MessagePackError.tooManyElements(maximum: 5)) { try read("83c0c0c0c0c0c0") }
        #expect(try read("a3616263") == .string("abc"))
        for hex in ["a461626364", "c40400000000", "d60500000000"] {
            #expect(throws: MessagePackError.tooLong(maximum: 3)) { try read(hex) }
        }
        let deep = String(repeating: "91", count: 100_000) + "c0"
        #expect(throws: MessagePackError.tooDeep(maximum: 512)) {
            try MessagePackValue(decoding: ByteBuffer(hex: deep))
        }
    }

    @Test func writingIsBoundedToo() {
        var value = MessagePackValue.null
        for _ in 0..<513 { value = .array([value]) }
        var buffer = ByteBuffer(string: "-")
        #expect(throws: MessagePackError.tooDeep(maximum: 512)) { try value.write(into: &buffer) }
        #expect(String(buffer: buffer) == "-")
    }

    @Test func members() {
        let value = MessagePackValue.map([
            .init(.string("a"), .int(1)), .init(.string("a"), .int(2)), .init(.int(0), .null),
        ])
        #expect(value["a"] == .int(2))
        #expect(value["b"] == nil)
        #expect(MessagePackValue.null["a"] == nil)
    }
}
