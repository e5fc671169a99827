import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct MaskingTests {
    @Test(arguments: 0..<4)
    func everyAlignmentAndLength(offset: Int) {
        let key = FrameBytes.key
        let word = key.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << UInt32(8 * $1.offset) }
        for start in 0..<9 {
            for count in 0..<75 {
                var bytes = (0..<(start + count + 3)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                var expected = bytes
                for index in 0..<count {
                    expected[start + index] ^= key[(offset + index) & 3]
                }
                bytes.withUnsafeMutableBytes { buffer in
                    Masking.apply(key: word, offset: offset, to: .init(rebasing: buffer[start..<(start + count)]))
                }
                #expect(bytes == expected, "start \(start), count \(count)")
            }
        }
    }

    @Test func exampleOfTheStandard() {
        #expect(decode([[0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]]) == [.text("Hello")])
    }
}
