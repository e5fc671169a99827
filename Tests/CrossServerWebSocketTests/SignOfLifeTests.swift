import Testing

@testable import CrossServerWebSocket

@Suite struct SignOfLifeTests {
    @Test func everyByteThatComesIsOne() throws {
        let connection = try TestConnection.added()
        #expect(!connection.handler.takeSignOfLife())
        for byte in FrameBytes.text("slow") {
            try connection.receive([byte])
            #expect(connection.handler.takeSignOfLife())
            #expect(!connection.handler.takeSignOfLife())
        }
        #expect(connection.delegate.messages == [.text("slow")])
    }

    /// What was written and what of it waits, at one look after the other, and whether that is a sign of life.
    @Test(arguments: [
        // The kernel of a peer that may be gone has taken all at once.
        [(10, 0, false), (20, 0, false)],
        [(1_000, 900, false), (1_000, 800, true), (1_000, 800, false)],
        // More is sent, and nothing is taken.
        [(1_000, 900, false), (2_000, 1_900, false)],
        [(1_000, 900, false), (2_000, 1_899, true)],
        // What waited is gone, and then there is nothing to be seen.
        [(1_000, 900, false), (1_000, 0, true), (1_002, 0, false)],
    ])
    func progress(looks: [(written: Int, waiting: Int, hasAdvanced: Bool)]) {
        var progress = OutboundProgress()
        for look in looks {
            #expect(progress.hasAdvanced(to: .init(written: look.written, waiting: look.waiting)) == look.hasAdvanced)
        }
    }

    /// What was written and what of it waits, at one look after the other, and whether nothing was taken of what waited.
    @Test(arguments: [
        [(10, 0, false), (20, 0, false), (30, 10, false), (30, 10, true)],
        [(1_000, 900, false), (1_000, 800, false), (1_000, 800, true)],
        // More is sent, which does not count.
        [(1_000, 900, false), (2_000, 1_900, true)],
        [(1_000, 900, false), (2_000, 1_899, false)],
        [(1_000, 900, false), (1_000, 0, false), (1_002, 2, false)],
    ])
    func stalls(looks: [(written: Int, waiting: Int, isStalled: Bool)]) {
        var progress = OutboundProgress()
        for look in looks {
            #expect(progress.isStalled(at: .init(written: look.written, waiting: look.waiting)) == look.isStalled)
        }
    }
}
