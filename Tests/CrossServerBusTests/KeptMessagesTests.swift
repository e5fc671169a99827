import NIOCore
import Testing

@testable import CrossServerBus

@Suite struct KeptMessagesTests {
    /// Against a list of the messages themselves.
    @Test(arguments: [1, 2, 3]) func eachIsReadUntilItIsRemoved(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var kept = KeptMessages()
        var model: [(place: KeptMessages.Place, message: ByteBuffer)] = []
        for step in 0..<20_000 {
            switch Int.random(in: 0..<(model.count < 200 ? 10 : 19), using: &random) {
            case 0..<9:
                let longest = [200, 4_200, 70_000][min(Int.random(in: 0..<20, using: &random) / 9, 2)]
                var message = ByteBuffer(repeating: 0, count: 3)
                message.moveReaderIndex(forwardBy: 3)
                let length = Int.random(in: 1...longest, using: &random)
                message.writeRepeatingByte(UInt8(truncatingIfNeeded: step), count: length)
                model.append((kept.append(message), message))
            case 9:
                if let last = model.popLast() { kept.removeLast(last.place) }
            default:
                kept.removeFirst(model.removeFirst().place)
            }
            if let some = model.randomElement(using: &random), kept.message(at: some.place) != some.message {
                Issue.record("not what was kept, in step \(step)")
                return
            }
            #expect(kept.bytes >= model.reduce(0) { $0 + $1.message.readableBytes })
        }
        for entry in model { kept.removeFirst(entry.place) }
        #expect(kept.bytes == 0)
    }
}
