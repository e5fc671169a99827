import CrossServerWire
import NIOCore
import Testing

@testable import CrossServerBus

@Suite struct StampTests {
    static let stamp = Stamp(
        incarnation: 0xFEDC_BA98_7654_3210,
        number: 0xFF_1234_5678,
        uptime: 0xAB_CDEF_0123,
        sincePrevious: 0x12_3456
    )

    static let messages: [BusMessage] = [
        .event(CrossServerEvent(event: "hi", sender: "a", payload: ["n": 1], targets: ["b"], callbackID: "x")),
        .reply(CrossServerReply(sender: "a", callbackID: "x", payload: "yes", error: ["code": "C", "message": "m"])),
        .clients(ClientMessage(frame: ByteBuffer(string: "{}"), sender: "a", scope: .everyone)),
        .clients(
            ClientMessage(
                frame: ByteBuffer(string: "{}"),
                sender: "a",
                scope: .room(namespace: "n", id: "r", excluding: ["x", "y"])
            )
        ),
    ]

    @Test(arguments: Self.messages, [BusEncoding.messagePack, .json])
    func aStampedMessageIsTheSameMessage(message: BusMessage, encoding: BusEncoding) throws {
        var buffer = ByteBuffer()
        try message.write(into: &buffer, as: encoding)
        let length = buffer.readableBytes
        #expect(Stamp(endOf: buffer) == nil)
        #expect(Self.stamp.append(to: &buffer))
        let cost = encoding == .json ? Stamp.jsonLength : Stamp.messagePackLength
        #expect(buffer.readableBytes == length + cost)
        #expect(cost <= 40)
        #expect(Stamp(endOf: buffer) == Self.stamp)
        #expect(try BusMessage(decoding: buffer) == message)
    }

    @Test(arguments: Self.messages)
    func aStampIsNoExcuseForAWrongCount(message: BusMessage) throws {
        var buffer = ByteBuffer()
        try message.write(into: &buffer, as: .messagePack)
        #expect(Self.stamp.append(to: &buffer))
        let head = try #require(buffer.getInteger(at: buffer.readerIndex, as: UInt8.self))
        for wrong in [head - 1, head + 1] {
            buffer.setInteger(wrong, at: buffer.readerIndex)
            #expect(throws: BusMessageError.self) { try BusMessage(decoding: buffer) }
        }
    }

    @Test(arguments: [Stamp.first, Stamp.longest, 0])
    func theExtremesAreKept(sincePrevious: UInt32) {
        for number in [1, Stamp.maximumNumber] {
            for uptime in [0, Int64(1) << 40 - 1] {
                let stamp = Stamp(incarnation: 1, number: number, uptime: uptime, sincePrevious: sincePrevious)
                var message = ByteBuffer(bytes: [0x80])
                #expect(stamp.append(to: &message))
                #expect(Stamp(endOf: message) == stamp)
            }
        }
    }

    @Test(arguments: ["", "[]", "{}", "1", "{"])
    func whatIsNoMessageIsNotStamped(text: String) {
        var buffer = ByteBuffer(string: text)
        #expect(!Self.stamp.append(to: &buffer))
        #expect(String(buffer: buffer) == text)
        #expect(Stamp(endOf: buffer) == nil)
    }

    @Test func everyPrefixOfAStampedMessageIsHarmless() throws {
        for encoding in [BusEncoding.messagePack, .json] {
            var buffer = ByteBuffer()
            try Self.messages[0].write(into: &buffer, as: encoding)
            #expect(Self.stamp.append(to: &buffer))
            for length in 0..<buffer.readableBytes {
                #expect(Stamp(endOf: buffer.getSlice(at: buffer.readerIndex, length: length) ?? ByteBuffer()) == nil)
            }
        }
    }
}

@Suite struct DeliveryFrameTests {
    static let bodies: [DeliveryFrame.Body] = [
        .request(channel: "ws:a", missing: [1...1, 5...9], token: 3),
        .requestSince(channel: "ws:a", uptime: 77, token: 4),
        .repetition(
            .init(
                channel: "ws:a",
                token: 5,
                last: 9,
                floor: 1,
                base: 3,
                gone: 2,
                isLast: true,
                messages: [ByteBuffer(string: "one"), ByteBuffer(string: "two")]
            )
        ),
        .repetition(
            .init(channel: "ws:a", token: 0, last: 0, floor: 0, base: nil, gone: 0, isLast: false, messages: [])
        ),
        .requestHeads(since: 5, token: 6),
        .heads(.init(token: 1, isLast: true, isLeaving: true, heads: [.init(channel: "c", last: 4, uptime: 9)])),
        .acknowledge(token: 8),
    ]

    @Test(arguments: Self.bodies)
    func aFrameComesBackAsItWas(body: DeliveryFrame.Body) {
        let frame = DeliveryFrame(name: "a", incarnation: 1, target: 2, body: body)
        let encoded = frame.encoded
        #expect(DeliveryFrame.isFrame(encoded))
        #expect(DeliveryFrame(encoded) == frame)
        for length in 0..<encoded.readableBytes {
            #expect(DeliveryFrame(encoded.getSlice(at: encoded.readerIndex, length: length) ?? ByteBuffer()) == nil)
        }
    }

    @Test func impossibleNumbersAreRefused() {
        let backwards = DeliveryFrame(
            name: "a",
            incarnation: 1,
            target: 2,
            body: .request(channel: "c", missing: [1...2], token: 1)
        )
        var encoded = backwards.encoded
        let end = encoded.writerIndex
        encoded.setInteger(UInt64.max, at: end - 8)
        #expect(DeliveryFrame(encoded) == nil)
        encoded.setInteger(UInt64(0), at: end - 8)
        #expect(DeliveryFrame(encoded) == nil)
    }
}
