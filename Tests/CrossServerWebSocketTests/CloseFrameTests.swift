import CrossServerWire
import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct CloseFrameTests {
    @Test(arguments: [
        (String(repeating: "a", count: 123), 123),
        (String(repeating: "a", count: 124), 123),
        (String(repeating: "a", count: 122) + "é", 122),
        (String(repeating: "€", count: 50), 123),
        (String(repeating: "𐍈", count: 31), 120),
    ])
    func reasonIsCutAtACharacter(reason: String, size: Int) {
        let frame = CloseFrame(code: 1000, reason: reason)
        #expect(frame.reason.utf8.count == size)
        #expect(reason.hasPrefix(frame.reason))
        #expect(frame.payload.readableBytes == size + 2)
    }

    @Test func withoutACodeThereIsNoBody() {
        #expect(CloseFrame(code: nil, reason: "lost").payload.readableBytes == 0)
    }
}
