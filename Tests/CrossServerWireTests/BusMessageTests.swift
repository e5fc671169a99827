import NIOCore
import Testing

@testable import CrossServerWire

/// A message as the Node original sends it, in both encodings.
struct BusSample: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var message: BusMessage
    var json: String
    var messagePack: String

    init(_ description: String, _ message: BusMessage, json: String, messagePack: String) {
        self.testDescription = description
        self.message = message
        self.json = json
        self.messagePack = messagePack
    }

    private static func frame(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    private static let say = #"{"event":"say","payload":{"msg":"all"}}"#
    private static let sayHex = "d9277b226576656e74223a22736179222c227061796c6f6164223a7b226d7367223a22616c6c227d7d"
    private static let sayJSON = #""{\"event\":\"say\",\"payload\":{\"msg\":\"all\"}}""#
    private static let one = #"{"event":"say","payload":{"msg":"one"}}"#
    private static let oneHex = "d9277b226576656e74223a22736179222c227061796c6f6164223a7b226d7367223a226f6e65227d7d"

    static let all = [
        BusSample(
            "an event for all",
            .event(.init(event: "echo", sender: "nodeA", payload: ["a": 1])),
            json: #"{"data":{"event":"echo","senderServer":"nodeA","payload":{"a":1},"targetServer":[]}}"#,
            messagePack: """
                81a46461746184a56576656e74a46563686fac73656e646572536572766572a56e6f646541a77061796c6f616481a16101\
                ac74617267657453657276657290
                """
        ),
        BusSample(
            "an event for one",
            .event(.init(event: "echo", sender: "nodeA", payload: ["a": 1], targets: ["nodeB"])),
            json: #"{"data":{"event":"echo","senderServer":"nodeA","payload":{"a":1},"targetServer":["nodeB"]}}"#,
            messagePack: """
                81a46461746184a56576656e74a46563686fac73656e646572536572766572a56e6f646541a77061796c6f616481a16101\
                ac74617267657453657276657291a56e6f646542
                """
        ),
        BusSample(
            "a request",
            .event(
                .init(
                    event: "echo",
                    sender: "nodeA",
                    payload: ["q": 1],
                    targets: ["nodeB"],
                    callbackID: "nodeA-mwpqch9e-at0k-1"
                )
            ),
            json: """
                {"data":{"event":"echo","senderServer":"nodeA","payload":{"q":1},"targetServer":["nodeB"],\
                "callbackId":"nodeA-mwpqch9e-at0k-1"}}
                """,
            messagePack: """
                81a46461746185a56576656e74a46563686fac73656e646572536572766572a56e6f646541a77061796c6f616481a17101\
                ac74617267657453657276657291a56e6f646542\
                aa63616c6c6261636b4964b56e6f6465412d6d777071636839652d6174306b2d31
                """
        ),
        BusSample(
            "a reply",
            .reply(.init(sender: "nodeB", callbackID: "nodeA-mwpqck4v-pj1i-1", payload: ["ok": 1])),
            json: """
                {"data":{"event":"_Cs_Cb_","senderServer":"nodeB","targetServer":[],\
                "callbackId":"nodeA-mwpqck4v-pj1i-1","isCallback":true,"payload":{"ok":1}}}
                """,
            messagePack: """
                81a46461746186a56576656e74a75f43735f43625fac73656e646572536572766572a56e6f646542\
                ac74617267657453657276657290\
                aa63616c6c6261636b4964b56e6f6465412d6d777071636b34762d706a31692d31aa697343616c6c6261636bc3\
                a77061796c6f616481a26f6b01
                """
        ),
        BusSample(
            "a reply without a payload",
            .reply(.init(sender: "nodeB", callbackID: "nodeA-mwpqch9e-at0k-1", payload: .absent)),
            json: """
                {"data":{"event":"_Cs_Cb_","senderServer":"nodeB","targetServer":[],\
                "callbackId":"nodeA-mwpqch9e-at0k-1","isCallback":true}}
                """,
            messagePack: """
                81a46461746185a56576656e74a75f43735f43625fac73656e646572536572766572a56e6f646542\
                ac74617267657453657276657290\
                aa63616c6c6261636b4964b56e6f6465412d6d777071636839652d6174306b2d31aa697343616c6c6261636bc3
                """
        ),
        BusSample(
            "a broadcast",
            .clients(.init(frame: frame(say), sender: "nodeA", scope: .everyone)),
            json: #"{"data":\#(sayJSON),"senderServer":"nodeA"}"#,
            messagePack: "82a464617461\(sayHex)ac73656e646572536572766572a56e6f646541"
        ),
        BusSample(
            "to one client",
            .clients(.init(frame: frame(one), sender: "nodeA", scope: .socket("42"))),
            json: """
                {"data":"{\\"event\\":\\"say\\",\\"payload\\":{\\"msg\\":\\"one\\"}}","socketId":"42","senderServer":"nodeA"}
                """,
            messagePack: "83a464617461\(oneHex)a8736f636b65744964a23432ac73656e646572536572766572a56e6f646541"
        ),
        BusSample(
            "to some clients",
            .clients(.init(frame: frame(say), sender: "nodeA", scope: .sockets(["1", "2"]))),
            json: #"{"data":\#(sayJSON),"socketIds":["1","2"],"senderServer":"nodeA"}"#,
            messagePack: """
                83a464617461\(sayHex)a9736f636b657449647392a131a132ac73656e646572536572766572a56e6f646541
                """
        ),
        BusSample(
            "to a room",
            .clients(
                .init(
                    frame: frame(say),
                    sender: "nodeA",
                    scope: .room(namespace: "chat", id: "1000", excluding: ["9"])
                )
            ),
            json: """
                {"data":\(sayJSON),"roomNamespace":"chat","roomId":"1000","senderServer":"nodeA","excludeSocketIds":["9"]}
                """,
            messagePack: """
                85a464617461\(sayHex)ad726f6f6d4e616d657370616365a463686174a6726f6f6d4964a431303030\
                ac73656e646572536572766572a56e6f646541b06578636c756465536f636b657449647391a139
                """
        ),
        BusSample(
            "to all of a room",
            .clients(
                .init(frame: frame(say), sender: "nodeA", scope: .room(namespace: "chat", id: "1000", excluding: []))
            ),
            json: """
                {"data":\(sayJSON),"roomNamespace":"chat","roomId":"1000","senderServer":"nodeA","excludeSocketIds":[]}
                """,
            messagePack: """
                85a464617461\(sayHex)ad726f6f6d4e616d657370616365a463686174a6726f6f6d4964a431303030\
                ac73656e646572536572766572a56e6f646541b06578636c756465536f636b657449647390
                """
        ),
    ]
}

@Suite struct BusMessageTests {
    private func decode(_ json: String) throws(BusMessageError) -> BusMessage {
        try BusMessage(decoding: ByteBuffer(string: json))
    }

    /// The same as MessagePack, for tables that are written in JSON.
    private func decodeMessagePack(_ json: String) throws -> BusMessage {
        try BusMessage(decoding: try Payload(json: json).messagePack())
    }

    @Test(arguments: [BusEncoding.messagePack, .json])
    func aFailureTravelsBesideThePayload(encoding: BusEncoding) throws {
        let reply = CrossServerReply(
            sender: "nodeB",
            callbackID: "c",
            payload: ["error": "no such room"],
            error: ["code": "NO_ROOM", "message": "no such room"]
        )
        var buffer = ByteBuffer()
        try BusMessage.reply(reply).write(into: &buffer, as: encoding)
        #expect(try BusMessage(decoding: buffer) == .reply(reply))
    }

    @Test(arguments: ["null", "undefined"])
    func noErrorIsNone(kind: String) throws {
        let expected = BusMessage.reply(.init(sender: "a", callbackID: "c", payload: .absent))
        let value = kind == "null" ? "c0" : "d40000"
        let packed =
            "81a46461746185a56576656e74a75f43735f43625fac73656e646572536572766572a161"
            + "aa63616c6c6261636b4964a163aa697343616c6c6261636bc3a56572726f72" + value
        #expect(try BusMessage(decoding: ByteBuffer(hex: packed)) == expected)
        for encoding in [BusEncoding.messagePack, .json] {
            var buffer = ByteBuffer()
            let reply = CrossServerReply(sender: "a", callbackID: "c", payload: .absent, error: .absent)
            try BusMessage.reply(reply).write(into: &buffer, as: encoding)
            #expect(try BusMessage(decoding: buffer) == expected)
        }
        let json = #"{"data":{"event":"_Cs_Cb_","senderServer":"a","callbackId":"c","isCallback":true,"error":null}}"#
        #expect(try self.decode(json) == expected)
    }

    @Test(arguments: BusSample.all)
    func writesTheBytesOfTheOriginal(sample: BusSample) throws {
        var buffer = ByteBuffer(string: "-")
        try sample.message.write(into: &buffer, as: .json)
        #expect(String(buffer: buffer) == "-" + sample.json)
        buffer.clear()
        try sample.message.write(into: &buffer, as: .messagePack)
        #expect(buffer.hex == sample.messagePack)
    }

    @Test(arguments: BusSample.all)
    func readsTheBytesOfTheOriginal(sample: BusSample) throws {
        #expect(try self.decode(sample.json) == sample.message)
        #expect(try BusMessage(decoding: ByteBuffer(hex: sample.messagePack)) == sample.message)
        #expect(try self.decodeMessagePack(sample.json) == sample.message)
        // In the middle of another buffer.
        var framed = ByteBuffer(hex: "ff00" + sample.messagePack)
        framed.moveReaderIndex(forwardBy: 2)
        #expect(try BusMessage(decoding: framed) == sample.message)
    }

    @Test(arguments: BusSample.all)
    func refusesEveryPartOfAMessage(sample: BusSample) throws {
        for var whole in [ByteBuffer(string: sample.json), ByteBuffer(hex: sample.messagePack)] {
            let bytes = whole.readBytes(length: whole.readableBytes) ?? []
            for count in 0..<bytes.count {
                #expect(throws: BusMessageError.self) { try BusMessage(decoding: ByteBuffer(bytes: bytes[..<count])) }
            }
            #expect(throws: BusMessageError.self) { try BusMessage(decoding: ByteBuffer(bytes: bytes + [0])) }
        }
    }

    @Test func readsTheKeysOfAPromiseInTheirOrder() throws {
        let json = """
            {"data":{"payload":{"q":2},"event":"echo","senderServer":"nodeA","targetServer":["nodeB"],\
            "callbackId":"nodeA-mwpqckbm-7vrc-3"}}
            """
        let hex = """
            81a46461746185a77061796c6f616481a17102a56576656e74a46563686fac73656e646572536572766572a56e6f646541\
            ac74617267657453657276657291a56e6f646542aa63616c6c6261636b4964b56e6f6465412d6d777071636b626d2d377672632d33
            """
        let expected = BusMessage.event(
            CrossServerEvent(
                event: "echo",
                sender: "nodeA",
                payload: ["q": 2],
                targets: ["nodeB"],
                callbackID: "nodeA-mwpqckbm-7vrc-3"
            )
        )
        #expect(try self.decode(json) == expected)
        #expect(try BusMessage(decoding: ByteBuffer(hex: hex)) == expected)
    }

    @Test(arguments: [
        #"{"x":{"data":1,"y":[[{}]]},"data":{"z":[{"event":1}],"event":"e","senderServer":"a"},"":null}"#,
        #"{"data":{"senderServer":"b","event":"x","senderServer":"a","event":"e"}}"#,
        #"{"data":{"senderServer":"a","event":"e","callbackId":null,"targetServer":null,"isCallback":null}}"#,
        #"{"data":"frame","data":{"senderServer":"a","event":"e"},"senderServer":"b"}"#,
        #"{"data":{"senderServer":"a","event":"e","isCallback":true}}"#,
        #"{"\u0064ata":{"senderServe\u0072":"\u0061","event":"\u0065"}}"#,
        #"{"data":{"senderServer":"a","event":"e","isCallbacc":1,"callbackIe":1,"targetServes":1,"senderServes":1}}"#,
    ])
    func ignoresWhatItDoesNotKnow(json: String) throws {
        let expected = BusMessage.event(CrossServerEvent(event: "e", sender: "a", payload: .absent))
        #expect(try self.decode(json) == expected)
        #expect(try self.decodeMessagePack(json) == expected)
    }

    @Test(
        arguments: [
            (#"{}"#, .missingKey("data")),
            (#"{"data":1}"#, .wrongType(key: "data")),
            (#"{"data":[{}]}"#, .wrongType(key: "data")),
            (#"{"data":null}"#, .wrongType(key: "data")),
            (#"{"data":{}}"#, .missingKey("data.event")),
            (#"{"data":{"event":"e"}}"#, .missingKey("data.senderServer")),
            (#"{"data":{"event":"e"},"senderServer":"a"}"#, .missingKey("data.senderServer")),
            (#"{"data":{"event":["e"],"senderServer":"a"}}"#, .wrongType(key: "data.event")),
            (#"{"data":{"event":"e","senderServer":{}}}"#, .wrongType(key: "data.senderServer")),
            (#"{"data":{"event":"e","senderServer":"a","callbackId":7}}"#, .wrongType(key: "data.callbackId")),
            (#"{"data":{"event":"e","senderServer":"a","targetServer":"b"}}"#, .wrongType(key: "data.targetServer")),
            (
                #"{"data":{"event":"e","senderServer":"a","targetServer":["b",[1]]}}"#,
                .wrongType(key: "data.targetServer")
            ),
            (#"{"data":{"event":"e","senderServer":"a","isCallback":1}}"#, .wrongType(key: "data.isCallback")),
            (#"{"data":{"event":"_Cs_Cb_","senderServer":"a","isCallback":true}}"#, .missingKey("data.callbackId")),
            (#"{"data":"x"}"#, .missingKey("senderServer")),
            (#"{"data":"x","senderServer":false}"#, .wrongType(key: "senderServer")),
            (#"{"data":"x","senderServer":"a","socketId":42}"#, .wrongType(key: "socketId")),
            (#"{"data":"x","senderServer":"a","socketIds":{"0":"1"}}"#, .wrongType(key: "socketIds")),
            (#"{"data":"x","senderServer":"a","socketIds":["1",2]}"#, .wrongType(key: "socketIds")),
            (#"{"data":"x","senderServer":"a","roomNamespace":[],"roomId":"1"}"#, .wrongType(key: "roomNamespace")),
            (#"{"data":"x","senderServer":"a","roomNamespace":"n","roomId":1}"#, .wrongType(key: "roomId")),
            (#"{"data":"x","senderServer":"a","roomNamespace":"n"}"#, .missingKey("roomId")),
            (#"{"data":"x","senderServer":"a","roomId":"1"}"#, .missingKey("roomNamespace")),
            (
                #"{"data":"x","senderServer":"a","roomNamespace":"n","roomId":"1","excludeSocketIds":"9"}"#,
                .wrongType(key: "excludeSocketIds")
            ),
        ] as [(String, BusMessageError)]
    )
    func namesTheKeyThatIsWrong(json: String, error: BusMessageError) throws {
        #expect(throws: error) { try self.decode(json) }
        #expect(throws: error) { try self.decodeMessagePack(json) }
    }

    @Test(arguments: ["", "00", "90", "a17b", "c1", "81", "c0", "a0", "7b", "8001"])
    func refusesWhatIsNoMap(hex: String) {
        #expect(throws: BusMessageError.self) { try BusMessage(decoding: ByteBuffer(hex: hex)) }
    }

    @Test func anEventOfTheReplysNameAloneIsNoReply() throws {
        let json = #"{"data":{"event":"_Cs_Cb_","senderServer":"a","callbackId":"c"}}"#
        let expected = BusMessage.event(.init(event: "_Cs_Cb_", sender: "a", payload: .absent, callbackID: "c"))
        #expect(try self.decode(json) == expected)
        #expect(try self.decodeMessagePack(json) == expected)
    }

    @Test(arguments: [BusEncoding.json, .messagePack])
    func nullAndAbsentPayloadsStayWhatTheyAre(encoding: BusEncoding) throws {
        for payload in [Payload.null, .absent, "", 0, false, []] {
            let message = BusMessage.event(CrossServerEvent(event: "", sender: "", payload: payload))
            var buffer = ByteBuffer()
            try message.write(into: &buffer, as: encoding)
            #expect(try BusMessage(decoding: buffer) == message)
        }
    }

    @Test func undefinedIsAbsent() throws {
        let hex = "81a46461746183a56576656e74a165ac73656e646572536572766572a161a77061796c6f6164d40000"
        #expect(
            try BusMessage(decoding: ByteBuffer(hex: hex))
                == .event(CrossServerEvent(event: "e", sender: "a", payload: .absent))
        )
    }

    @Test(arguments: [BusEncoding.json, .messagePack])
    func carriesFramesUnchanged(encoding: BusEncoding) throws {
        let frames = [
            "", "\"\\\n\t\u{1}\u{7F}", "é😀\u{2028}", #"{"event":"\ud83d\u0000\\"}"#,
            String(repeating: "é\"", count: 70_000),
        ]
        for frame in frames {
            let message = BusMessage.clients(.init(frame: ByteBuffer(string: frame), sender: "é", scope: .socket("\"")))
            var buffer = ByteBuffer()
            try message.write(into: &buffer, as: encoding)
            #expect(try BusMessage(decoding: buffer) == message)
        }
    }

    @Test func whatIsNotUTF8IsReplaced() throws {
        let hex = "82a464617461a361ff62ac73656e646572536572766572a261ff"
        let expected = BusMessage.clients(
            .init(frame: ByteBuffer(string: "a\u{FFFD}b"), sender: "a\u{FFFD}", scope: .everyone)
        )
        #expect(try BusMessage(decoding: ByteBuffer(hex: hex)) == expected)
        var json = ByteBuffer(string: #"{"data":"a"#)
        json.writeInteger(0xFF as UInt8)
        json.writeString(#"b","senderServer":"a"#)
        json.writeInteger(0xC3 as UInt8)
        json.writeString(#""}"#)
        #expect(try BusMessage(decoding: json) == expected)
    }

    @Test(arguments: ["1e400", #"{"a":["\ud83d"]}"#, "18446744073709551617"])
    func aPayloadThatMessagePackCannotHoldLeavesTheBufferAsItWas(json: String) throws {
        let message = BusMessage.event(.init(event: "e", sender: "a", payload: try Payload(json: json)))
        var buffer = ByteBuffer(string: "before")
        #expect(throws: BusMessageError.self) { try message.write(into: &buffer, as: .messagePack) }
        #expect(String(buffer: buffer) == "before")
        buffer.clear()
        try message.write(into: &buffer, as: .json)
        #expect(try BusMessage(decoding: buffer) == message)
    }

    @Test(arguments: [BusEncoding.json, .messagePack])
    func payloadsMayBe512Deep(encoding: BusEncoding) throws {
        let json = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        let message = BusMessage.event(.init(event: "e", sender: "a", payload: try Payload(json: json)))
        var buffer = ByteBuffer()
        try message.write(into: &buffer, as: encoding)
        #expect(try BusMessage(decoding: buffer) == message)
    }

    @Test func deeperPayloadsAreRefusedUnknownKeysAreNot() throws {
        let deep = String(repeating: "91", count: 100_000) + "c0"
        let payload = "81a46461746183a56576656e74a165ac73656e646572536572766572a161a77061796c6f6164" + deep
        #expect(throws: BusMessageError.invalidMessagePack(.tooDeep(maximum: 512))) {
            try BusMessage(decoding: ByteBuffer(hex: payload))
        }
        let unknown = "81a46461746183a56576656e74a165ac73656e646572536572766572a161a178" + deep
        #expect(
            try BusMessage(decoding: ByteBuffer(hex: unknown))
                == .event(CrossServerEvent(event: "e", sender: "a", payload: .absent))
        )
        let json = #"{"data":{"event":"e","senderServer":"a","payload":"# + String(repeating: "[", count: 100_000)
        #expect(throws: BusMessageError.invalidJSON(.tooDeep(maximum: 514))) { try self.decode(json) }
    }

    @Test(arguments: ["dfffffffff", "81a464617461dfffffffff", "81a464617461ddffffffff", "81a464617461dbffffffff"])
    func countsThatCannotBeAreRefused(hex: String) {
        #expect(throws: BusMessageError.invalidMessagePack(.endOfData)) {
            try BusMessage(decoding: ByteBuffer(hex: hex + "a1"))
        }
    }
}
