import Testing

@testable import CrossServerWebSocket

@Suite struct UTF8ValidatorTests {
    /// Bytes at which a rule changes.
    static let edges: [UInt8] = [
        0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
        0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]

    static func isValid(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { UTF8Validator.isValid($0) }
    }

    static func expectSame(_ bytes: [UInt8]) {
        #expect(self.isValid(bytes) == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes)")
    }

    @Test func allPairs() {
        for first in UInt8.min...UInt8.max {
            Self.expectSame([first])
            for second in UInt8.min...UInt8.max where first >= 0x80 {
                if Self.isValid([first, second]) != (String(validating: [first, second], as: UTF8.self) != nil) {
                    Issue.record("\(first) \(second)")
                }
            }
        }
    }

    @Test(arguments: Self.edges)
    func combinationsOfEdges(first: UInt8) {
        for second in Self.edges {
            for third in Self.edges {
                Self.expectSame([first, second, third])
                guard first >= 0xF0 else { continue }
                for fourth in Self.edges { Self.expectSame([first, second, third, fourth]) }
            }
        }
    }

    @Test(arguments: [
        0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000,
        0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF,
    ])
    func boundaryCodePointsInAnySplit(codePoint: UInt32) throws {
        let scalar = try #require(Unicode.Scalar(codePoint))
        // Behind ASCII of several lengths, so that the character lies at every place of the fast path's steps.
        for padding in [0, 1, 7, 8, 9, 15, 16, 17] {
            let bytes = Array((String(repeating: "a", count: padding) + String(scalar) + "z").utf8)
            #expect(Self.isValid(bytes))
            for split in 0...bytes.count {
                var validator = UTF8Validator()
                #expect(bytes[..<split].withUnsafeBytes { validator.consume($0) })
                #expect(bytes[split...].withUnsafeBytes { validator.consume($0) })
                #expect(validator.isComplete)
            }
        }
    }

    @Test(
        arguments: [
            [0x80], [0xC0], [0xC1], [0xC2, 0x41], [0xE0, 0x9F], [0xED, 0xA0], [0xE1, 0x80, 0xC0], [0xF0, 0x8F],
            [0xF4, 0x90], [0xF5], [0xFF], [0xF1, 0x80, 0x80, 0x20],
        ] as [[UInt8]]
    )
    func refusedAtTheFirstWrongByte(bytes: [UInt8]) {
        var validator = UTF8Validator()
        #expect(bytes.dropLast().withUnsafeBytes { validator.consume($0) })
        #expect(!bytes.suffix(1).withUnsafeBytes { validator.consume($0) })
    }

    @Test func randomBytes() {
        var state: UInt64 = 42
        for _ in 0..<5_000 {
            var bytes: [UInt8] = []
            for _ in 0..<24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let choice = Int(state >> 33) % (Self.edges.count + 10)
                bytes.append(choice < Self.edges.count ? Self.edges[choice] : 0x61)
            }
            Self.expectSame(bytes)
        }
    }
}
