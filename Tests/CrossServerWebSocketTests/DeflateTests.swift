import CrossServerWire
import NIOCore
import NIOEmbedded
import Testing

@testable import CrossServerWebSocket

@Suite struct DeflateTests {
    static let combinations: [NegotiatedDeflate] = [9, 10, 15].flatMap { server in
        [9, 12, 15].flatMap { client in
            [(false, false), (true, false), (false, true), (true, true)].map {
                NegotiatedDeflate(
                    serverNoContextTakeover: $0.0,
                    clientNoContextTakeover: $0.1,
                    serverWindowBits: server,
                    clientWindowBits: client
                )
            }
        }
    }

    static func texts() -> [String] {
        var state: UInt64 = 7
        let noise = (0..<20_000).map { _ -> Character in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Character(Unicode.Scalar(UInt8(33 + state >> 58)))
        }
        return [
            "short", String(repeating: "compressible ", count: 20), String(noise), "",
            String(repeating: "é€", count: 30_000), String(noise), String(repeating: "compressible ", count: 20),
        ]
    }

    @Test(arguments: Self.combinations)
    func roundTrips(negotiated: NegotiatedDeflate) throws {
        var configuration = PerMessageDeflate()
        configuration.minimumSize = 0
        let server = try TestConnection.added(deflate: negotiated, deflateConfiguration: configuration)
        let client = try TestConnection.added(
            role: .client,
            deflate: negotiated,
            deflateConfiguration: configuration
        )
        server.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        for text in Self.texts() {
            _ = client.handler.send(.init(text: text))
            try exchange(client, server)
        }
        #expect(server.delegate.messages == Self.texts().map { .text($0) })
        #expect(client.delegate.messages == Self.texts().map { .text($0) })
    }

    @Test func contextIsTakenOverOnlyWhenAgreed() throws {
        for forgets in [false, true] {
            let connection = try TestConnection.added(deflate: .init(serverNoContextTakeover: forgets))
            let message = EncodedMessage(text: Self.texts()[2])
            var sizes: [Int] = []
            for _ in 0..<2 {
                _ = connection.handler.send(message)
                connection.turn()
                sizes.append(try connection.takeBytes().count)
            }
            #expect(forgets ? sizes[0] == sizes[1] : sizes[1] < sizes[0] / 10)
        }
    }

    @Test func smallMessagesAreNotCompressed() throws {
        let connection = try TestConnection.added(deflate: .init())
        _ = connection.handler.send(.init(text: String(repeating: "a", count: 63)))
        _ = connection.handler.send(.init(text: String(repeating: "a", count: 64)))
        connection.turn()
        let bytes = try connection.takeBytes()
        #expect(bytes[0] == 0x81)
        #expect(bytes[65] == 0xC1)
    }

    @Test func droppedMessagesDoNotBreakTheContext() throws {
        let connection = try TestConnection(deflate: .init()) {
            $0.outbound = .init(maximumWaitingBytes: 400, policy: .dropOldest)
        }
        try connection.addHandler()
        connection.block()
        let texts = (0..<20).map { String(repeating: "\($0) and ", count: 20) }
        for text in texts { _ = connection.handler.send(.init(text: text)) }
        connection.unblock()
        let output = try connection.takeOutput()
        #expect(!output.isEmpty && output.count < 5)
        #expect(output == texts.suffix(output.count).map { .text($0) })
        _ = connection.handler.send(.init(text: texts[0]))
        connection.turn()
        // A context of its own would not know the earlier messages; the test's decoder starts anew each time.
        #expect(try connection.takeBytes().first == 0xC1)
    }

    static func compressed(_ payload: [UInt8], opcode: UInt8 = 0x1, isFinal: Bool = true) -> [UInt8] {
        FrameBytes.frame(opcode, payload, isFinal: isFinal, reserved: opcode == 0 ? 0 : 4)
    }

    static var settings: DecoderSettings {
        var settings = DecoderSettings()
        settings.deflate = .init()
        return settings
    }

    @Test func examplesOfTheStandard() {
        let hello: Outcome = .text("Hello")
        let first: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]
        let stored: [UInt8] = [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00]
        let final: [UInt8] = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]
        let twoBlocks: [UInt8] = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]
        let again: [UInt8] = [0xF2, 0x00, 0x11, 0x00, 0x00]
        let bytes = [first, again, stored, final, again, twoBlocks, [0x00], Array(final.dropLast()), first]
            .flatMap { Self.compressed($0) }
        let expected = [hello, hello, hello, hello, hello, hello, .text(""), hello, hello]
        #expect(decode([bytes], Self.settings) == expected)
        #expect(decode(bytes.pieces(of: 1), Self.settings) == expected)
    }

    @Test func fragmentsAreInflatedTogether() {
        let fragments =
            Self.compressed([0xF2, 0x48, 0xCD], isFinal: false) + FrameBytes.frame(0x9, [1])
            + Self.compressed([], opcode: 0, isFinal: false) + Self.compressed([0xC9, 0xC9, 0x07, 0x00], opcode: 0)
        #expect(decode([fragments], Self.settings) == [.ping([1]), .text("Hello")])
        // A message that is not compressed may follow, and an empty one that should not be there does no harm.
        let others =
            FrameBytes.text("plain") + Self.compressed([])
            + Self.compressed([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00])
        #expect(decode([others], Self.settings) == [.text("plain"), .text(""), .text("Hello")])
    }

    @Test(
        arguments: [
            ([0xFF, 0xFF, 0xFF], 1007),
            ([0x07], 1007),
            // The size of a stored block does not match its complement.
            ([0x00, 0x05, 0x00, 0x00, 0x00, 0x48], 1007),
            // Ends within a block.
            ([0xF2, 0x48, 0xCD], 1007),
            ([0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48], 1007),
            // A stored byte FF as text.
            ([0x00, 0x01, 0x00, 0xFE, 0xFF, 0xFF, 0x00], 1007),
        ] as [([UInt8], UInt16)]
    )
    func invalidData(payload: [UInt8], code: UInt16) {
        #expect(decode([Self.compressed(payload)], Self.settings) == [.violation(code)])
    }

    @Test func reservedBitWhereItMustNotBe() {
        let start = Self.compressed([0xF2, 0x48], isFinal: false)
        #expect(decode([start + FrameBytes.frame(0x0, [0xCD], reserved: 4)], Self.settings) == [.violation(1002)])
        #expect(decode([FrameBytes.frame(0x9, reserved: 4)], Self.settings) == [.violation(1002)])
        #expect(decode([FrameBytes.frame(0x1, reserved: 2)], Self.settings) == [.violation(1002)])
    }

    static func compress(_ size: Int) throws -> [UInt8] {
        let deflater = try #require(Deflater(windowBits: 15, level: 9, memoryLevel: 9))
        var output = ByteBuffer()
        deflater.compress(ByteBuffer(repeating: 0, count: size), into: &output)
        return Array(output.readableBytesView)
    }

    @Test(arguments: [0, 1, 511, 512, 513, 1_000, 65_536, 100_000])
    func theLimitHoldsToTheByte(size: Int) throws {
        let frame = Self.compressed(try Self.compress(size), opcode: 0x2)
        var settings = Self.settings
        settings.maximumMessageSize = max(size, 1)
        for pieces in [[frame], frame.pieces(of: 1)] {
            #expect(decode(pieces, settings) == [.binary(.init(repeating: 0, count: size))])
        }
        guard size > 1 else { return }
        settings.maximumMessageSize = size - 1
        for pieces in [[frame], frame.pieces(of: 1)] {
            #expect(decode(pieces, settings) == [.violation(1009)])
        }
    }

    @Test func aBombIsStoppedEarly() throws {
        let codec = DeflateCodec(role: .server, negotiated: .init(), configuration: .init())
        let bomb = ByteBuffer(bytes: try Self.compress(1 << 26))
        var output = ByteBuffer()
        #expect(throws: WebSocketError.self) {
            try codec.inflate(bomb, into: &output, maximumSize: 1 << 20)
        }
        #expect(output.readableBytes <= 1 << 20)
        #expect(output.capacity <= 1 << 21)
    }

    @Test func theRatioIsLimited() throws {
        var settings = Self.settings
        settings.deflateConfiguration.maximumRatio = 100
        let small = Self.compressed(try Self.compress(65_536), opcode: 0x2)
        #expect(decode([small], settings) == [.binary(.init(repeating: 0, count: 65_536))])
        #expect(decode([Self.compressed(try Self.compress(200_000), opcode: 0x2)], settings) == [.violation(1009)])
    }

    @Test func compressedBytesThatInflateToNothingAreLimited() {
        var settings = Self.settings
        settings.maximumMessageSize = 1_000
        let nothing = [UInt8]((0..<1_000).flatMap { _ in [0x00, 0x00, 0x00, 0xFF, 0xFF] })
        #expect(decode([Self.compressed(nothing)], settings) == [.violation(1009)])
    }

    @Test func aWindowOfEightBitsIsNotCompressed() throws {
        let connection = try TestConnection.added(
            role: .client,
            deflate: .init(clientWindowBits: 8)
        )
        _ = connection.handler.send(.init(text: String(repeating: "a", count: 100)))
        connection.turn()
        #expect(try connection.takeBytes().first == 0x81)
    }
}
