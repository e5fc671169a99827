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
