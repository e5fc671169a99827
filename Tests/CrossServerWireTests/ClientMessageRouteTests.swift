import NIOCore
import Testing

@testable import CrossServerWire

@Suite struct ClientMessageRouteTests {
    private static func message(_ route: ClientMessage.Route?) -> BusMessage {
        .clients(.init(frame: ByteBuffer(string: "{}"), sender: "a", scope: .socket("7"), route: route))
    }

    private static let routes: [(ClientMessage.Route, json: String, messagePack: String)] = [
        (.ask(1), "[0,1]", "920001"),
        (.ask(1 << 53), "[0,9007199254740992]", "9200cf0020000000000000"),
        (.inbox(epoch: 300, number: 2), "[1,300,2]", "9301cd012c02"),
        (.delivered(ask: 7, connectedFor: 0), "[2,7,0]", "93020700"),
        (.refused(epoch: 1, number: 200), "[3,1,200]", "930301ccc8"),
        (.removingRoom, "[4,0]", "920400"),
    ]

    @Test(arguments: routes)
    func travelsUnderItsOwnKey(route: ClientMessage.Route, json: String, messagePack: String) throws {
        let message = Self.message(route)
        var buffer = ByteBuffer()
        try message.write(into: &buffer, as: .json)
        #expect(String(buffer: buffer) == #"{"data":"{}","socketId":"7","senderServer":"a","rt":\#(json)}"#)
        #expect(try BusMessage(decoding: buffer) == message)
        buffer.clear()
        try message.write(into: &buffer, as: .messagePack)
        #expect(
            buffer.hex == "84a464617461a27b7da8736f636b65744964a137ac73656e646572536572766572a161a27274" + messagePack
        )
        #expect(try BusMessage(decoding: buffer) == message)
        for count in 0..<buffer.readableBytes {
            let part = buffer.getSlice(at: buffer.readerIndex, length: count) ?? ByteBuffer()
            #expect(throws: BusMessageError.self) { try BusMessage(decoding: part) }
        }
    }

    @Test func everyScopeMayHaveOne() throws {
        let scopes: [ClientMessage.Scope] = [
            .everyone, .socket("1"), .sockets(["1", "2"]), .room(namespace: "n", id: "r", excluding: ["3"]),
        ]
        for scope in scopes {
            for encoding in [BusEncoding.json, .messagePack] {
                let message = BusMessage.clients(
                    .init(frame: ByteBuffer(), sender: "a", scope: scope, route: .inbox(epoch: 1, number: 1 << 40))
                )
                var buffer = ByteBuffer()
                try message.write(into: &buffer, as: encoding)
                #expect(try BusMessage(decoding: buffer) == message)
            }
        }
    }

    @Test(arguments: [
        "1", "-1", "{}", #""x""#, "[]", "[0]", "[1,1]", "[0,1,1]", "[9,1,1]", "[1,1,1,1]", "[1,-1,1]", "[1,1.5,1]",
        "[1,[1],1]", #"[1,"1",1]"#, "[1,null,1]", "[0,9007199254740993]", "[0,18446744073709551616]", "true", "[[0,1]]",
        "[1,{\"a\":[]},1]",
    ])
    func otherValuesAreRefused(json: String) throws {
        let text = #"{"data":"{}","rt":\#(json),"socketId":"7","senderServer":"a"}"#
        #expect(throws: BusMessageError.wrongType(key: "rt")) { try BusMessage(decoding: ByteBuffer(string: text)) }
        let packed = try Payload(json: text).messagePack()
        #expect(throws: BusMessageError.wrongType(key: "rt")) { try BusMessage(decoding: packed) }
    }

    @Test func nullIsNone() throws {
        let text = #"{"data":"{}","rt":null,"socketId":"7","senderServer":"a"}"#
        #expect(try BusMessage(decoding: ByteBuffer(string: text)) == Self.message(nil))
        #expect(try BusMessage(decoding: Payload(json: text).messagePack()) == Self.message(nil))
    }

    /// Whatever is changed in a message, it is decoded or refused.
    @Test func mutationsDoNoHarm() throws {
        var random = SystemRandomNumberGenerator()
        for (route, _, _) in Self.routes {
            for encoding in [BusEncoding.json, .messagePack] {
                var buffer = ByteBuffer()
                try Self.message(route).write(into: &buffer, as: encoding)
                for _ in 0..<2_000 {
                    var mutated = buffer
                    for _ in 0..<Int.random(in: 1...3, using: &random) {
                        let offset = Int.random(in: 0..<mutated.readableBytes, using: &random)
                        mutated.setInteger(UInt8.random(in: .min ... .max, using: &random), at: offset)
                    }
                    _ = try? BusMessage(decoding: mutated)  // An error is as good as a message.
                }
            }
        }
    }
}
