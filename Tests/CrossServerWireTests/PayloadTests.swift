import CrossServerWire
import NIOCore
import Testing

@Suite struct PayloadTests {
    @Test func literals() {
        #expect((["msg": "hi", "members": 3] as Payload).json == #"{"msg":"hi","members":3}"#)
        #expect(
            (["a": .null, "b": .absent, "c": [1, 2.5, true, .absent]] as Payload).json
                == #"{"a":null,"c":[1,2.5,true,null]}"#
        )
        #expect(Payload(Double.infinity).json == "null")
        #expect(([:] as Payload).json == "{}")
        #expect(([] as Payload).json == "[]")
    }

    @Test func members() throws {
        let payload = try Payload(json: #"{"msg":{"x":[1, 2]},"n":1e400,"msg2":"é\n","n":2}"#)
        #expect(payload["msg"]?.json == #"{"x":[1, 2]}"#)
        #expect(payload["n"]?.json == "2")
        #expect(payload["msg2"]?.string == "é\n")
        #expect(payload["none"] == nil)
        #expect(payload.isObject)
        #expect(payload["msg"]?["x"]?.array?.map(\.json) == ["1", "2"])
    }

    @Test(arguments: ["1", "null", "\"a\"", "[1]", ""])
    func otherValuesHaveNoMembers(json: String) throws {
        let payload = json.isEmpty ? Payload.absent : try Payload(json: json)
        #expect(payload["a"] == nil)
        #expect(!payload.isObject)
        #expect((payload.string != nil) == (json == "\"a\""))
        #expect((payload.array != nil) == (json == "[1]"))
    }

    @Test(arguments: [
        (#"{"a":1,"b":[1, 2]}"#, #"{ "b" : [1,2], "a" : 1 }"#), ("1", "1.0"), ("100", "1e2"), ("0.001", "1E-3"),
        ("-0", "0e7"), ("12345678901234567890.5", "1234567890123456789.05e1"), ("1e00000000000000000002", "100"),
        (#""é\n""#, #""\u00e9\u000a""#), (#""\ud83d\ude00""#, #""😀""#), (#"{"a":1,"a":2}"#, #"{"a":2}"#),
        (#"{"\u0061":null}"#, #"{"a":null}"#), ("[]", "[ ]"), (#""\/""#, #""/""#),
        ("1e999999999999999999", "1e999999999999999999 "),
    ])
    func equalValues(left: String, right: String) throws {
        for (left, right) in [(left, right), ("[\(left)]", "[\(right)]")] {
            let (left, right) = (try Payload(json: left), try Payload(json: right))
            #expect(left == right)
        }
    }

    @Test(arguments: [
        ("1", "-1"), ("9007199254740993", "9007199254740992"), ("[1,2]", "[2,1]"), ("[1]", "[1,1]"), ("null", "false"),
        ("true", "false"), (#""1""#, "1"), (#"{"a":1}"#, #"{"a":1,"b":2}"#), (#"{"a":1}"#, #"{"b":1}"#), ("[]", "{}"),
        (#""\ud800""#, #""\ud801""#), (#""\u00e9""#, #""e\u0301""#), (#"{"\u00e9":1}"#, #"{"e\u0301":1}"#),
        ("1e999999999999999999", "1e999999999999999998"), ("1e1", "1e-1"), ("0.1", "0.01"),
    ])
    func differentValues(left: String, right: String) throws {
        let (left, right) = (try Payload(json: left), try Payload(json: right))
        #expect(left != right)
        #expect(left != .absent && .absent != left)
    }

    @Test func deepValuesAreCompared() throws {
        let depth = 500
        func nested(_ inner: String) throws -> Payload {
            try Payload(json: String(repeating: "[", count: depth) + inner + String(repeating: "]", count: depth))
        }
        let (left, right) = (try nested(#"{"a":1,"b":2}"#), try nested(#"{"b":2,"a":1}"#))
        #expect(left == right)
        let other = try nested(#"{"a":1,"b":3}"#)
        #expect(left != other)
    }

    /// The order of its keys is random.
    @Test func whatIsEncodedTwiceIsEqual() throws {
        let values = Dictionary(uniqueKeysWithValues: (0..<50).map { ("\($0)", Double($0) / 4) })
        let left = try Payload(encoding: values)
        let right = try Payload(encoding: Dictionary(uniqueKeysWithValues: values.shuffled()))
        #expect(left == right)
    }

    @Test(arguments: ["", " ", "{", "1 2", "x"])
    func refusesWhatIsNotOneValue(json: String) {
        #expect(throws: JSONError.self) { try Payload(json: json) }
    }

    @Test func cutsWhiteSpaceAround() throws {
        #expect(try Payload(json: " [1] \n").json == "[1]")
    }

    @Test func codable() throws {
        struct Move: Codable, Equatable { var x: Int, y: Int }
        let payload = try Payload(encoding: Move(x: 1, y: -2))
        #expect(try payload.decode(Move.self) == Move(x: 1, y: -2))
        #expect(throws: (any Error).self) { try Payload.absent.decode(Move.self) }
        #expect(throws: (any Error).self) { try Payload(encoding: Double.nan) }
    }

    @Test func unpairedSurrogatesBecomeReplacementCharacters() throws {
        #expect(try Payload(json: #""\ud83dx""#).string == "\u{FFFD}x")
        #expect(try Payload(json: #""\ud83d\ude00""#).string == "😀")
    }
}
