import NIOCore
import Testing

@testable import CrossServerWire

@Suite struct EnvelopeTests {
    private func scan(_ text: String) throws -> Envelope {
        try Envelope(scanning: ByteBuffer(string: text))
    }

    @Test func anEventWithPayloadAndCallback() throws {
        let envelope = try self.scan(#"{"event":"say","payload":{"a":1},"callbackId":"mwpq9f93-qrat-1"}"#)
        #expect(envelope.event == "say")
        #expect(envelope.payload.json == #"{"a":1}"#)
        #expect(envelope.callbackId?.string == "mwpq9f93-qrat-1")
        #expect(envelope.hasCallbackId)
    }

    @Test(arguments: [
        #"{"event":"say"}"#,
        #" { "event" : "say" } "#,
        #"{"x":[{"event":"no"}],"event":"say"}"#,
        #"{"\u0065vent":"say"}"#,
        #"{"event":"no","event":"say"}"#,
        #"{"event":"s\u0061y","__proto__":{"event":"no"}}"#,
        "{\n\t\"event\":\r\"say\"}",
    ])
    func findsTheEvent(text: String) throws {
        let envelope = try self.scan(text)
        #expect(envelope.event == "say")
        #expect(envelope.payload.isAbsent)
        #expect(!envelope.hasCallbackId)
    }

    @Test(arguments: [#"{}"#, #"{"event":1}"#, #"{"event":null}"#, #"{"event":{}}"#, #"{"event":"a","event":[]}"#])
    func hasNoEvent(text: String) throws {
        #expect(try self.scan(text).event == nil)
    }

    @Test(arguments: [
        "null", "true", "false", "0", "-0.5e+3", #"" \" ""#, "[]", "{}", #"{"a":[1,{"b":null}]}"#, "1e400",
        #""\ud83d""#, "12345678901234567890123456789", "\"é日本😀\"",
    ])
    func passesThePayloadOnUnchanged(json: String) throws {
        let envelope = try self.scan("{\"event\":\"e\",\"payload\":\(json),\"callbackId\":\"1\"}")
        #expect(envelope.payload.json == json)
        var buffer = ByteBuffer()
        buffer.writeReply(envelope.payload, to: try #require(envelope.callbackId))
        #expect(String(buffer: buffer) == "{\"payload\":\(json),\"callbackId\":\"1\"}")
    }

    @Test(arguments: [
        "", " ", "{", "}", "{]", "[}", "nul", "nulll", "tru", "01", "1.", ".5", "-", "1e", "1e+", "+1", "'a'", "\"",
        "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u123", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "[1,]", "[,]",
        "[1 2]",
        "{\"a\":1 \"b\":2}", "{a:1}", "\"\u{01}\"", "\"a\nb\"", "{} {}", "[] x", "NaN", "Infinity", "\u{FEFF}{}",
        "{\"event\":\"a\"} x", "{\"event\":\"a\"", "{\"event\":\"a}",
    ])
    func refusesInvalidJSON(text: String) {
        #expect {
            try self.scan(text)
        } throws: { error in
            if case .invalidJSON? = error as? EnvelopeError { true } else { false }
        }
    }

    @Test(arguments: ["null", "[]", "\"x\"", "1", " true "])
    func refusesOtherValues(text: String) {
        #expect(throws: EnvelopeError.notAnObject) { try self.scan(text) }
    }

    @Test func boundsTheDepth() throws {
        func nested(_ depth: Int) -> String {
            "{\"payload\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        }
        #expect(try !self.scan(nested(JSONText.maximumDepth - 1)).payload.isAbsent)
        #expect(throws: EnvelopeError.invalidJSON(.tooDeep(maximum: JSONText.maximumDepth))) {
            try self.scan(nested(JSONText.maximumDepth))
        }
        #expect(throws: EnvelopeError.invalidJSON(.tooDeep(maximum: JSONText.maximumDepth))) {
            try self.scan(String(repeating: "[{\"a\":", count: 50_000))
        }
    }

    @Test(arguments: [
        (String(repeating: "a", count: 64), true), (String(repeating: "a", count: 65), false), ("", false),
        (String(repeating: "😀", count: 32), true), (String(repeating: "😀", count: 33), false),
        (String(repeating: "é", count: 64), true), (String(repeating: "日", count: 65), false),
        (String(repeating: #"\u0061"#, count: 64), true), (String(repeating: #"\n"#, count: 65), false),
        (String(repeating: #"\ud83d\ude00"#, count: 32), true), (String(repeating: #"\ud83d\ude00"#, count: 33), false),
    ])
    func honoursCallbackIdsOf1To64Units(id: String, isHonoured: Bool) throws {
        let envelope = try self.scan("{\"event\":\"e\",\"callbackId\":\"\(id)\"}")
        #expect((envelope.callbackId != nil) == isHonoured)
        #expect(envelope.hasCallbackId)
        if let callbackId = envelope.callbackId {
            var buffer = ByteBuffer()
            buffer.writeReply(.absent, to: callbackId)
            #expect(String(buffer: buffer) == "{\"callbackId\":\"\(id)\"}")
        }
    }

    @Test(arguments: ["1", "{}", "[]", "true", "null"])
    func ignoresCallbackIdsThatAreNoString(value: String) throws {
        let envelope = try self.scan("{\"event\":\"e\",\"callbackId\":\(value)}")
        #expect(envelope.callbackId == nil)
        #expect(envelope.hasCallbackId == (value != "null"))
    }

    @Test func writesTheKeysInTheOriginalsOrder() throws {
        let payload = try Payload(json: #"{"a":1}"#)
        func written(_ body: (inout ByteBuffer) -> Void) -> String {
            var buffer = ByteBuffer()
            body(&buffer)
            return String(buffer: buffer)
        }
        let id = try #require(CallbackID("mwpq9f93-qrat-1"))
        #expect(written { $0.writeEnvelope(event: "say", payload: payload) } == #"{"event":"say","payload":{"a":1}}"#)
        #expect(written { $0.writeEnvelope(event: "ev", payload: .absent) } == #"{"event":"ev"}"#)
        #expect(
            written { $0.writeEnvelope(event: "say", payload: payload, callbackId: id) }
                == #"{"event":"say","payload":{"a":1},"callbackId":"mwpq9f93-qrat-1"}"#
        )
        #expect(
            written { $0.writeReply(.null, to: id) } == #"{"payload":null,"callbackId":"mwpq9f93-qrat-1"}"#
        )
    }

    @Test(arguments: [
        (#""r-1""#, true, true), (#""\#(String(repeating: "a", count: 64))""#, true, true),
        (#""\#(String(repeating: "a", count: 65))""#, false, true), (#""""#, false, true), ("7", false, true),
        ("{}", false, true), ("null", false, false),
    ])
    func findsTheIdOfARequestOfTheServer(value: String, isHonoured: Bool, isThere: Bool) throws {
        let envelope = try self.scan("{\"payload\":1,\"requestI\\u0064\":\(value),\"requestIe\":7}")
        #expect((envelope.requestId != nil) == isHonoured)
        #expect(envelope.hasRequestId == isThere)
        #expect(envelope.event == nil && !envelope.hasCallbackId)
        if let requestId = envelope.requestId {
            var buffer = ByteBuffer()
            buffer.writeEnvelope(event: "e", payload: 1, requestId: requestId)
            #expect(String(buffer: buffer) == "{\"event\":\"e\",\"payload\":1,\"requestId\":\(value)}")
            buffer.clear()
            buffer.writeReply(2, toRequest: requestId, error: 3)
            #expect(String(buffer: buffer) == "{\"payload\":2,\"requestId\":\(value),\"error\":3}")
        }
    }

    @Test func escapesNamesAsJavaScriptDoes() {
        var buffer = ByteBuffer()
        buffer.writeEnvelope(event: "a\"\\\u{08}\u{0C}\n\r\t\u{01}\u{1F}é/😀", payload: .absent)
        #expect(String(buffer: buffer) == #"{"event":"a\"\\\b\f\n\r\t\u0001\u001fé/😀"}"#)
    }

    @Test func findsTheEndOfLongPlainStrings() throws {
        for length in 0..<40 {
            let text = String(repeating: "x", count: length)
            #expect(try self.scan("{\"event\":\"\(text)\"}").event == text)
            #expect(try self.scan("{\"event\":\"\(text)\\n\"}").event == text + "\n")
            #expect(throws: EnvelopeError.self) { try self.scan("{\"event\":\"\(text)\u{1F}\"}") }
            #expect(try self.scan("{\"event\":\"\(text)\u{80}\u{7F}é\"}").event == text + "\u{80}\u{7F}é")
        }
    }
}
