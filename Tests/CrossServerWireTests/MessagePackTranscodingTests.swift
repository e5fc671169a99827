import NIOCore
import Testing

@testable import CrossServerWire

@Suite struct MessagePackTranscodingTests {
    private func hex(_ json: String) throws -> String {
        try Payload(json: json).messagePack().hex
    }

    private func json(_ hex: String) throws -> String {
        try Payload(messagePack: ByteBuffer(hex: hex)).json
    }

    /// What both directions agree on.
    @Test(arguments: [
        ("null", "c0"), ("true", "c3"), ("false", "c2"),
        ("0", "00"), ("1", "01"), ("127", "7f"), ("128", "cc80"), ("255", "ccff"), ("256", "cd0100"),
        ("65535", "cdffff"), ("65536", "ce00010000"), ("4294967295", "ceffffffff"),
        ("4294967296", "cf0000000100000000"), ("9007199254740991", "cf001fffffffffffff"),
        ("9007199254740993", "cf0020000000000001"), ("9223372036854775807", "cf7fffffffffffffff"),
        ("9223372036854775808", "cf8000000000000000"), ("18446744073709549568", "cffffffffffffff800"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("-1", "ff"), ("-32", "e0"), ("-33", "d0df"), ("-128", "d080"), ("-129", "d1ff7f"), ("-32768", "d18000"),
        ("-32769", "d2ffff7fff"), ("-2147483648", "d280000000"), ("-2147483649", "d3ffffffff7fffffff"),
        ("-9223372036854775807", "d38000000000000001"), ("-9223372036854775808", "d38000000000000000"),
        ("1.5", "cb3ff8000000000000"), ("-0.1", "cbbfb999999999999a"), ("5e-324", "cb0000000000000001"),
        ("1.7976931348623157e+308", "cb7fefffffffffffff"), ("0.30000000000000004", "cb3fd3333333333334"),
        ("18446744073709552000", "cb43f0000000000000"), ("100000000000000000000", "cb4415af1d78b58c40"),
        ("1e+300", "cb7e37e43c8800759c"), ("-18446744073709552000", "cbc3f0000000000000"),
        ("-1e+300", "cbfe37e43c8800759c"), ("0.000001", "cb3eb0c6f7a0b5ed8d"), ("1e-7", "cb3e7ad7f29abcaf48"),
        ("1.25e-7", "cb3e80c6f7a0b5ed8d"), ("123456.789", "cb40fe240c9fbe76c9"),
        (#""""#, "a0"), (#""a""#, "a161"), (#""é""#, "a2c3a9"), (#""😀\n""#, "a5f09f98800a"),
        (#""\"\\/\b\f\n\r\t\u0000\u001f""#, "aa225c2f080c0a0d09001f"),
        ("[]", "90"), ("{}", "80"), ("[1,[2,[]],{}]", "93019202" + "9080"),
        (#"{"a":1,"b":[true,null]}"#, "82a16101a16292c3c0"),
        (#"{"__proto__":{"x":1}}"#, "81a95f5f70726f746f5f5f81a17801"),
        (#"{"constructor":1,"":2}"#, "82ab636f6e7374727563746f7201a002"),
        ("{\"\u{E9}\":1,\"e\u{301}\":2}", "82a2c3a901a365cc8102"),
        (#"{"b":1,"2":"x","a":2}"#, "83a16201a132a178a16102"),
    ])
    func bothDirections(json: String, hex: String) throws {
        #expect(try self.hex(json) == hex)
        #expect(try self.json(hex) == json)
    }

    /// Other ways to write the same in JSON.
    @Test(arguments: [
        ("-0", "00"), ("-0.0", "00"), ("0e5", "00"), ("0.0e-999", "00"), ("1.0", "01"), ("1e2", "64"),
        ("12.50e1", "7d"),
        ("-1E+0", "ff"), ("100e-2", "01"), ("1e17", "cf016345785d8a0000"), ("1e19", "cf8ac7230489e80000"),
        ("9223372036854775808.0", "cf8000000000000000"), ("1e20", "cb4415af1d78b58c40"), ("1e23", "cb44b52d02c7e14af6"),
        ("18446744073709551616", "cb43f0000000000000"), ("-9223372036854775809.0", "d38000000000000000"),
        ("1e22", "cb4480f0cf064dd592"), ("0.1e1", "01"), ("15e-1", "cb3ff8000000000000"),
        ("1000000000000000000000000000000", "cb46293e5939a08cea"),
        ("0.1000000000000000055511151231257827", "cb3fb999999999999a"),
        ("123456789012345678e-17", "cb3ff3c0ca428c59fb"),
        ("2.2250738585072012e-308", "cb0010000000000000"), ("9007199254740993.5", "cf0020000000000002"),
        (" [ 1 , 2 ] ", "920102"), ("{ \"a\" :\t1 }", "81a16101"),
        (#""\u0061\u00e9\u20ac\ud83d\ude00\/""#, "ab61c3a9e282acf09f98802f"), (#""\uD83D\uDE00""#, "a4f09f9880"),
        (#"{"\u0061":1}"#, "81a16101"),
    ])
    func alsoWrittenAs(json: String, hex: String) throws {
        #expect(try self.hex(json) == hex)
    }

    /// Other MessagePack, from the original's decoder, old notepack.io versions and other encoders.
    @Test(arguments: [
        ("cc01", "1"), ("cd0001", "1"), ("ce00000001", "1"), ("cf0000000000000001", "1"), ("d001", "1"),
        ("d3ffffffffffffffff", "-1"), ("d0ff", "-1"), ("ca3fc00000", "1.5"), ("ca3dcccccd", "0.10000000149011612"),
        ("cb3ff0000000000000", "1"), ("cb8000000000000000", "0"), ("cb4341c37937e08000", "10000000000000000"),
        ("cb7ff8000000000000", "null"), ("cb7ff0000000000000", "null"), ("cbfff0000000000000", "null"),
        ("ca7fc00000", "null"), ("cb444b1ae4d6e2ef50", "1e+21"), ("cb4415af1d78b58c40", "100000000000000000000"),
        ("d90161", #""a""#), ("da000161", #""a""#), ("db0000000161", #""a""#), ("a2c328", "\"\u{FFFD}(\""),
        ("a3eda080", "\"\u{FFFD}\u{FFFD}\u{FFFD}\""), ("a3f09f98", "\"\u{FFFD}\""), ("a4f09f9822", "\"\u{FFFD}\\\"\""),
        ("a1ff", "\"\u{FFFD}\""), ("a17f", "\"\u{7F}\""), ("a3e280a8", "\"\u{2028}\""),
        ("dc000101", "[1]"), ("dd0000000101", "[1]"), ("de0001a16101", #"{"a":1}"#), ("df00000001a16101", #"{"a":1}"#),
        ("c403010203", #"{"type":"Buffer","data":[1,2,3]}"#), ("c400", #"{"type":"Buffer","data":[]}"#),
        ("c50001ff", #"{"type":"Buffer","data":[255]}"#), ("c60000000100", #"{"type":"Buffer","data":[0]}"#),
        ("c70200ff01", #"{"type":"Buffer","data":[255,1]}"#), ("c7010000", #"{"type":"Buffer","data":[0]}"#),
        ("d40507", #"[5,{"type":"Buffer","data":[7]}]"#), ("d5fb0102", #"[-5,{"type":"Buffer","data":[1,2]}]"#),
        ("c70005", #"[5,{"type":"Buffer","data":[]}]"#), ("c8000105ff", #"[5,{"type":"Buffer","data":[255]}]"#),
        ("c90000000105ff", #"[5,{"type":"Buffer","data":[255]}]"#),
        ("d60000000001", #"[0,{"type":"Buffer","data":[0,0,0,1]}]"#),
        ("d6ff00000000", #""1970-01-01T00:00:00.000Z""#), ("d6ffffffffff", #""2106-02-07T06:28:15.000Z""#),
        ("d6ff65e07040", #""2024-02-29T11:53:36.000Z""#),
        ("d7ff1dcd6500" + "00000001", #""1970-01-01T00:00:01.125Z""#),
        ("d7ff00000003ffffffff", #""2514-05-30T01:53:03.000Z""#),
        ("c70cff00000000ffffffffffffffff", #""1969-12-31T23:59:59.000Z""#),
        ("c70cff3b9ac9ffffffffffffffffff", #""1970-01-01T00:00:00.000Z""#),
        ("c70cff000000000000000000000000", #""1970-01-01T00:00:00.000Z""#),
        ("c70cff000000000000003afff44180", #""+010000-01-01T00:00:00.000Z""#),
        ("c70cff00000000fffffff1868b8400", #""0000-01-01T00:00:00.000Z""#),
        ("c70cff00000000fffffff1868b83ff", #""-000001-12-31T23:59:59.000Z""#),
        ("c70cff00000000000007dba8218000", #""+275760-09-13T00:00:00.000Z""#),
        ("c70cff00000000000007dba8218001", "null"), ("c70cff000000007fffffffffffffff", "null"),
        ("c70cff000000008000000000000000", "null"),
        ("d7000000000000000000", #""1970-01-01T00:00:00.000Z""#),
        ("d7000000018de2a1b2c3", #""2024-02-25T23:37:44.387Z""#),
        ("d700ffffffffffffffff", #""1969-12-31T23:59:59.999Z""#), ("d7007fffffffffffffff", "null"),
        ("d7008000000000000000", "null"),
        ("92d40000d40000", "[null,null]"), ("82a161d40000a16201", #"{"b":1}"#), ("81a161d400ff", "{}"),
        ("82a16101a162d40000", #"{"a":1}"#), ("81a16181a162d40000", #"{"a":{}}"#),
        ("810102", #"{"1":2}"#), ("81ff00", #"{"-1":0}"#), ("81cfffffffffffffffff00", #"{"18446744073709551615":0}"#),
        ("81c000", #"{"null":0}"#), ("82c200c300", #"{"false":0,"true":0}"#), ("81cb3ff800000000000000", #"{"1.5":0}"#),
        ("81cb7ff800000000000000", #"{"NaN":0}"#), ("81cafF80000000", #"{"-Infinity":0}"#),
        ("81800a", #"{"[object Object]":10}"#), ("8181a161910a0b", #"{"[object Object]":11}"#),
    ])
    func reads(hex: String, json: String) throws {
        #expect(try self.json(hex) == json)
    }

    @Test func undefinedAloneIsNoPayload() throws {
        #expect(try Payload(messagePack: ByteBuffer(hex: "d40000")) == .absent)
        #expect(try Payload.absent.messagePack().hex == "c0")
    }

    @Test(
        arguments: [
            ("1e400", .numberOutOfRange(offset: 0)), ("[1,-1e400]", .numberOutOfRange(offset: 3)),
            ("1e-400", .numberOutOfRange(offset: 0)), ("18446744073709551617", .numberOutOfRange(offset: 0)),
            ("-9223372036854775809", .numberOutOfRange(offset: 0)),
            ("100000000000000000001", .numberOutOfRange(offset: 0)),
            ("-18446744073709551615", .numberOutOfRange(offset: 0)),
            (String(repeating: "9", count: 400), .numberOutOfRange(offset: 0)),
            ("1" + String(repeating: "0", count: 309), .numberOutOfRange(offset: 0)),
            ("1e99999999999999999999", .numberOutOfRange(offset: 0)),
            (#""\ud83d""#, .unpairedSurrogate(offset: 0)), (#"["\ude00"]"#, .unpairedSurrogate(offset: 1)),
            (#""\ud83d\ud83d""#, .unpairedSurrogate(offset: 0)), (#""\ud83dx\ude00""#, .unpairedSurrogate(offset: 0)),
            (#"{"\ud83d":1}"#, .unpairedSurrogate(offset: 1)), (#""\ud83d\u0041""#, .unpairedSurrogate(offset: 0)),
        ] as [(String, MessagePackError)]
    )
    func refusesWhatWouldBeCorrupted(json: String, error: MessagePackError) throws {
        let payload = try Payload(json: json)
        #expect(throws: error) { try payload.messagePack() }
    }

    @Test(
        arguments: [
            ("", .endOfData), ("c1", .unknownType(offset: 0)), ("91c1", .unknownType(offset: 1)),
            ("0000", .trailingBytes(offset: 1)),
            ("92ff", .endOfData), ("81a161", .endOfData), ("dfffffffff00", .endOfData), ("ddffffffff00", .endOfData),
            ("dbffffffff00", .endOfData), ("c6ffffffff00", .endOfData), ("c9ffffffff00", .endOfData),
            ("cb00", .endOfData),
            ("819000", .unsupportedKey(offset: 1)), ("81c40000", .unsupportedKey(offset: 1)),
            ("81d4050000", .unsupportedKey(offset: 1)), ("81d6ff0000000000", .unsupportedKey(offset: 1)),
        ] as [(String, MessagePackError)]
    )
    func refusesToRead(hex: String, error: MessagePackError) {
        #expect(throws: error) { try Payload(messagePack: ByteBuffer(hex: hex)) }
    }

    @Test(arguments: [1, 2, 15, 16, 17, 255, 256, 65_535, 65_536, 70_000])
    func headsOfAllLengths(count: Int) throws {
        let elements = (0..<count).map { String($0 % 10) }
        let arrayHead =
            switch count {
            case ..<16: ByteBuffer(bytes: [0x90 | UInt8(count)]).hex
            case ..<65_536: "dc" + ByteBuffer(integer: UInt16(count)).hex
            default: "dd" + ByteBuffer(integer: UInt32(count)).hex
            }
        let array = "[" + elements.joined(separator: ",") + "]"
        #expect(try self.hex(array) == arrayHead + elements.map { "0" + $0 }.joined())
        let object = "{" + (0..<count).map { "\"\($0)\":\($0 % 10)" }.joined(separator: ",") + "}"
        let packed = try Payload(json: object).messagePack()
        #expect(try Payload(messagePack: packed).json == object)
        #expect(
            packed.hex.prefix(2)
                == (count < 16 ? ByteBuffer(bytes: [0x80 | UInt8(count)]).hex : count < 65_536 ? "de" : "df")
        )
        let nested = "[\(object),[\(array)],\(object)]"
        #expect(try Payload(messagePack: Payload(json: nested).messagePack()).json == nested)
    }

    @Test(arguments: [0, 1, 31, 32, 33, 255, 256, 65_535, 65_536])
    func stringsOfAllLengths(length: Int) throws {
        let head =
            switch length {
            case ..<32: ByteBuffer(bytes: [0xA0 | UInt8(length)]).hex
            case ..<256: "d9" + ByteBuffer(integer: UInt8(length)).hex
            case ..<65_536: "da" + ByteBuffer(integer: UInt16(length)).hex
            default: "db" + ByteBuffer(integer: UInt32(length)).hex
            }
        #expect(
            try self.hex("\"" + String(repeating: "a", count: length) + "\"") == head
                + String(repeating: "61", count: length)
        )
        // Escaped, the text is longer than the value, and its head may be too.
        let escaped = "[\"" + String(repeating: #"\u0061"#, count: length) + "\",1]"
        #expect(try self.hex(escaped) == "92" + head + String(repeating: "61", count: length) + "01")
        let quotes = "\"" + String(repeating: #"\""#, count: length) + "\""
        #expect(try self.json(self.hex(quotes)) == quotes)
    }

    @Test(arguments: [
        (#"{"a":1,"a":2}"#, #"{"a":2}"#),
        (#"{"a":1,"b":2,"a":3}"#, #"{"b":2,"a":3}"#),
        (#"{"a":1,"a":2,"a":3,"b":4}"#, #"{"a":3,"b":4}"#),
        (#"{"a":{"x":1,"x":2},"\u0061":{"y":[1,2],"y":3}}"#, #"{"a":{"y":3}}"#),
        (#"[{"a":[{"b":1,"b":[{"c":1,"c":2}]}],"d":0,"d":1}]"#, #"[{"a":[{"b":[{"c":2}]}],"d":1}]"#),
        (#"{"":1,"":2}"#, #"{"":2}"#),
        (#"{"__proto__":1,"__proto__":2}"#, #"{"__proto__":2}"#),
    ])
    func ofARepeatedKeyTheLastCounts(json: String, expected: String) throws {
        #expect(try self.json(self.hex(json)) == expected)
    }

    @Test func repeatedKeysInLargeObjects() throws {
        for count in [14, 15, 16, 17, 18, 31, 40, 300] {
            for distinct in [1, 2, 3, 13, 15, 16, 17, 29] {
                // Every value has what must be left out with it.
                let members = (0..<count).map { "\"k\($0 % distinct)\":[\($0),{\"a\":1,\"a\":\($0)},[\(array20)]]" }
                let packed = try Payload(json: "[{" + members.joined(separator: ",") + "},7]").messagePack()
                let kept = members.indices.filter { $0 + distinct >= count }
                let expected = kept.map { "\"k\($0 % distinct)\":[\($0),{\"a\":\($0)},[\(array20)]]" }
                #expect(try Payload(messagePack: packed).json == "[{" + expected.joined(separator: ",") + "},7]")
            }
        }
    }

    private let array20 = Array(repeating: "0", count: 20).joined(separator: ",")

    @Test func anyNumberOfRepeatedKeysTakesLinearTime() throws {
        // Seconds, if what is left out were moved for each.
        let keys = (0..<20_000).map { "\"\($0)\":0," }.joined()
        let json = "{" + keys + "\"x\":\"" + String(repeating: "x", count: 1_000_000) + "\"," + keys + "\"y\":1}"
        let packed = try Payload(json: json).messagePack()
        let started = ContinuousClock.now
        #expect(try Payload(json: json).messagePack() == packed)
        #expect(ContinuousClock.now - started < .seconds(10))
        #expect(packed.readableBytes < 1_200_000)
    }

    @Test func depth() throws {
        let json = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        #expect(try self.json(self.hex(json)) == json)
        let objects = String(repeating: #"{"a":"#, count: 512) + "1" + String(repeating: "}", count: 512)
        #expect(try self.json(self.hex(objects)) == objects)
        let hex = String(repeating: "91", count: 512) + "c0"
        #expect(throws: MessagePackError.tooDeep(maximum: 512)) { try self.json("91" + hex) }
        #expect(throws: MessagePackError.tooDeep(maximum: 512)) {
            try self.json(String(repeating: "81a0", count: 513) + "c0")
        }
        #expect(try self.json(hex).count == 1028)
        // A binary is an array in an object, an extension one array more.
        for (value, depth) in [("c400", 510), ("d40507", 509), ("d6ff00000000", 512), ("c700" + "00", 510)] {
            let hex = String(repeating: "91", count: depth) + value
            let payload = try Payload(messagePack: ByteBuffer(hex: hex))
            #expect(try Payload(json: payload.buffer) == payload)
            if depth < 512 { #expect(throws: MessagePackError.tooDeep(maximum: 512)) { try self.json("91" + hex) } }
        }
    }

    @Test func everyTruncationIsRefused() throws {
        let json =
            #"{"a":[1,300,70000,5000000000,-1,-200,-40000,-3000000000,1.5],"b":{"c":"\#(String(repeating: "é", count: 40))"},"d":[true,null]}"#
        let packed = try Payload(json: json).messagePack()
        #expect(try Payload(messagePack: packed).json == json)
        for length in 0..<packed.readableBytes {
            #expect(throws: MessagePackError.endOfData) { try Payload(messagePack: packed.slice(0..<length)) }
        }
    }

    @Test(arguments: 0..<50)
    func randomValuesComeBack(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            let json = generator.json(depth: 5)
            let packed = try Payload(json: json).messagePack()
            #expect(try Payload(messagePack: packed).json == json)
            var again = ByteBuffer()
            try MessagePackValue(decoding: packed).write(into: &again)
            #expect(again == packed)
        }
    }

    @Test func randomDoublesComeBack() throws {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<20_000 {
            let double = Double(bitPattern: generator.next())
            guard double.isFinite else { continue }
            var buffer = ByteBuffer()
            buffer.writeOutput(estimate: 24) { $0.writeJSONNumber(double) }
            let text = String(buffer: buffer)
            #expect(Double(text) == double, "\(text)")
            let number = try #require(buffer.withUnsafeReadableBytes { JSONNumber($0) })
            switch number {
            case .double(let value): #expect(value == double)
            case .integer(let value): #expect(Double(value) == double)
            case .unsigned(let value): #expect(Double(value) == double)
            }
        }
    }
}

/// Random values whose JSON is written as ours is.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func json(depth: Int) -> String {
        switch Int.random(in: 0..<(depth > 0 ? 9 : 7), using: &self) {
        case 0: return "null"
        case 1: return Bool.random(using: &self) ? "true" : "false"
        case 2: return String(self.next() >> UInt64.random(in: 0..<64, using: &self))
        case 3: return String(Int64(bitPattern: self.next()) >> Int64.random(in: 0..<64, using: &self))
        case 4: return String(Double(Int.random(in: -1_000_000...1_000_000, using: &self)) + 0.5)
        case 5, 6: return self.string()
        case 7:
            let count = Int.random(in: 0..<20, using: &self)
            return "[" + (0..<count).map { _ in self.json(depth: depth - 1) }.joined(separator: ",") + "]"
        default:
            let count = Int.random(in: 0..<20, using: &self)
            let members = (0..<count).map { "\"\($0)" + self.string().dropFirst() + ":" + self.json(depth: depth - 1) }
            return "{" + members.joined(separator: ",") + "}"
        }
    }

    private mutating func string() -> String {
        let characters = ["a", "Z", " ", #"\""#, #"\\"#, #"\n"#, #"\u0001"#, "é", "€", "😀", "\u{2028}", "/"]
        let count = Int.random(in: 0..<40, using: &self)
        return "\"" + (0..<count).map { _ in characters.randomElement(using: &self) ?? "" }.joined() + "\""
    }
}
