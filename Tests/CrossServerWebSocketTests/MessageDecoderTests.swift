import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct MessageDecoderTests {
    struct Violation: CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        var code: UInt16 = 1002
        var role = WebSocketRole.server
        var testDescription: String { self.name }
    }

    static let violations: [Violation] =
        [
            .init(name: "RSV1 without compression", bytes: FrameBytes.frame(0x1, reserved: 4)),
            .init(name: "RSV2", bytes: FrameBytes.frame(0x1, reserved: 2)),
            .init(name: "RSV3", bytes: FrameBytes.frame(0x2, reserved: 1)),
            .init(name: "RSV3 on a ping", bytes: FrameBytes.frame(0x9, reserved: 1)),
            .init(name: "long ping", bytes: FrameBytes.frame(0x9, .init(repeating: 0, count: 126))),
            .init(name: "long close", bytes: FrameBytes.frame(0x8, .init(repeating: 0, count: 126))),
            .init(name: "ping with a 64 bit length", bytes: [0x89, 0xFF]),
            .init(name: "fragmented ping", bytes: FrameBytes.frame(0x9, isFinal: false)),
            .init(name: "fragmented close", bytes: FrameBytes.frame(0x8, isFinal: false)),
            .init(name: "unmasked at the server", bytes: FrameBytes.text("a", masked: false)),
            .init(name: "masked at the client", bytes: FrameBytes.text("a"), role: .client),
            .init(name: "16 bit length of 125", bytes: [0x81, 0xFE, 0, 125, 0, 0, 0, 0]),
            .init(name: "64 bit length of 65535", bytes: [0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
            .init(name: "64 bit length of 0", bytes: [0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0]),
            .init(name: "highest bit of a 64 bit length", bytes: [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            .init(name: "continuation of nothing", bytes: FrameBytes.frame(0x0, [1])),
            .init(
                name: "text within a message",
                bytes: FrameBytes.text("a", isFinal: false) + FrameBytes.text("b")
            ),
            .init(
                name: "binary within a message",
                bytes: FrameBytes.text("a", isFinal: false) + FrameBytes.frame(0x2, [1], isFinal: false)
            ),
            .init(name: "close of one byte", bytes: FrameBytes.frame(0x8, [3])),
            .init(name: "close reason not UTF-8", bytes: FrameBytes.frame(0x8, [3, 0xE8, 0xFF]), code: 1007),
            .init(name: "close reason cut", bytes: FrameBytes.frame(0x8, [3, 0xE8, 0xC3]), code: 1007),
            .init(name: "text not UTF-8", bytes: FrameBytes.frame(0x1, [0x61, 0xFF, 0x61]), code: 1007),
            .init(name: "text ends within a character", bytes: FrameBytes.frame(0x1, [0xE2, 0x82]), code: 1007),
            .init(
                name: "fragmented text ends within a character",
                bytes: FrameBytes.frame(0x1, [0xE2], isFinal: false) + FrameBytes.frame(0x0, [0x82]),
                code: 1007
            ),
            .init(
                name: "too big",
                bytes: FrameBytes.frame(0x2, announced: (1 << 20) + 1),
                code: 1009
            ),
            .init(
                name: "too big together",
                bytes: FrameBytes.frame(0x2, [1], isFinal: false) + FrameBytes.frame(0x0, announced: 1 << 20),
                code: 1009
            ),
            .init(
                name: "largest length",
                bytes: FrameBytes.frame(0x2, [1], isFinal: false)
                    + [0x80, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4],
                code: 1009
            ),
        ]
        + [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF].map {
            .init(name: "opcode \($0)", bytes: FrameBytes.frame($0))
        }
        + [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map {
            .init(name: "close code \($0)", bytes: FrameBytes.close($0))
        }

    @Test(arguments: Self.violations)
    func violationIsFoundBehindGoodFramesAndInAnySplit(violation: Violation) {
        let masked = violation.role == .server
        let bytes = FrameBytes.text("fine", masked: masked) + violation.bytes
        let expected: [Outcome] = [.text("fine"), .violation(violation.code)]
        var settings = DecoderSettings()
        settings.role = violation.role
        for split in 0...bytes.count {
            #expect(decode([Array(bytes[..<split]), Array(bytes[split...])], settings) == expected, "split \(split)")
        }
        #expect(decode(bytes.pieces(of: 1), settings) == expected)
    }

    @Test(arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
    func closeCodeOnTheWire(code: UInt16) {
        #expect(decode([FrameBytes.close(code, "ok")]) == [.close(code, "ok")])
    }

    static func stream(masked: Bool) -> (bytes: [UInt8], outcomes: [Outcome]) {
        let long = (0..<126).map { UInt8($0) }
        let longer = (0..<70_000).map { UInt8(truncatingIfNeeded: $0) }
        let bytes = [
            FrameBytes.text("", masked: masked),
            FrameBytes.text("hé€𐍈", masked: masked),
            FrameBytes.frame(0x2, long, masked: masked),
            FrameBytes.text("one ", isFinal: false, masked: masked),
            FrameBytes.frame(0x9, [1, 2, 3], masked: masked),
            FrameBytes.frame(0x0, [0xE2], isFinal: false, masked: masked),
            FrameBytes.frame(0x0, [], isFinal: false, masked: masked),
            FrameBytes.frame(0xA, masked: masked),
            FrameBytes.frame(0x0, [0x82, 0xAC], masked: masked),
            FrameBytes.frame(0x2, [9], isFinal: false, masked: masked),
            FrameBytes.frame(0x0, masked: masked),
            FrameBytes.frame(0x2, longer, masked: masked),
            FrameBytes.close(4001, "bye", masked: masked),
        ]
        let outcomes: [Outcome] = [
            .text(""), .text("hé€𐍈"), .binary(long), .ping([1, 2, 3]), .pong([]), .text("one €"), .binary([9]),
            .binary(longer), .close(4001, "bye"),
        ]
        return (Array(bytes.joined()), outcomes)
    }

    @Test(arguments: [WebSocketRole.server, .client])
    func everySplitGivesTheSame(role: WebSocketRole) {
        let (bytes, outcomes) = Self.stream(masked: role == .server)
        var settings = DecoderSettings()
        settings.role = role
        for split in Array(0...500) + Array((bytes.count - 40)...bytes.count) {
            #expect(decode([Array(bytes[..<split]), Array(bytes[split...])], settings) == outcomes, "split \(split)")
        }
        for size in [1, 2, 3, 5, 7, 13, 64, 1_000] {
            #expect(decode(bytes.pieces(of: size), settings) == outcomes, "pieces of \(size)")
        }
    }

    @Test func theLimitItselfIsAccepted() {
        var settings = DecoderSettings()
        settings.maximumMessageSize = 10
        settings.maximumFragments = 2
        let ten = [UInt8](repeating: 7, count: 10)
        let two = FrameBytes.frame(0x2, [7, 7, 7], isFinal: false)
        #expect(decode([FrameBytes.frame(0x2, ten)], settings) == [.binary(ten)])
        #expect(decode([two + FrameBytes.frame(0x0, Array(ten[..<7]))], settings) == [.binary(ten)])
        #expect(decode([two + FrameBytes.frame(0x0, Array(ten[..<8]))], settings) == [.violation(1009)])
        let three = two + FrameBytes.frame(0x0, isFinal: false) + FrameBytes.frame(0x0)
        #expect(decode([three], settings) == [.violation(1008)])
    }

    @Test func wrongTextIsRefusedBeforeItsFrameIsComplete() {
        let frame = FrameBytes.frame(0x1, Array("fine".utf8) + [0xF4, 0x90, 0x80, 0x80] + Array("more".utf8))
        let headerSize = 6
        #expect(decode([Array(frame[..<(headerSize + 5)])]) == [])
        #expect(decode([Array(frame[..<(headerSize + 6)])]) == [.violation(1007)])
    }

    @Test(.timeLimit(.minutes(1)))
    func largeMessageInSmallReads() {
        var settings = DecoderSettings()
        settings.maximumMessageSize = 1 << 24
        let size = 1 << 24
        let header = FrameBytes.frame(0x1, announced: size)
        let piece = FrameBytes.mask([UInt8](repeating: 0x61, count: 1_024))
        let pieces = [header] + Array(repeating: piece, count: size / piece.count)
        guard case .text(let text)? = decode(pieces, settings).first else {
            Issue.record("no message")
            return
        }
        #expect(text.utf8.count == size)
    }

    @Test func memoryFollowsWhatArrivedNotWhatWasAnnounced() throws {
        var decoder = MessageDecoder(
            role: .client,
            maximumMessageSize: 1 << 30,
            maximumFragments: 1,
            deflate: nil
        )
        var scratch = ByteBuffer()
        let start = FrameBytes.frame(0x2, [1, 2, 3], masked: false, announced: 1 << 30)
        decoder.receive(ByteBuffer(bytes: start), scratch: &scratch)
        #expect(try decoder.next().map { Outcome($0) } == nil)
        #expect(decoder.bufferedCapacity <= 1_024)
    }

    @Test func messagesOfOneReadShareItsMemory() throws {
        var decoder = MessageDecoder(role: .server, maximumMessageSize: 1_000, maximumFragments: 1, deflate: nil)
        var scratch = ByteBuffer()
        let bytes = FrameBytes.text("one") + FrameBytes.text("two")
        var addresses: [UInt] = []
        decoder.receive(ByteBuffer(bytes: bytes), scratch: &scratch)
        while case .message(let message)? = try decoder.next() {
            addresses.append(message.payload.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) })
        }
        #expect(addresses.count == 2)
        #expect(addresses.last.map { $0 - addresses[0] } == 9)
    }
}
