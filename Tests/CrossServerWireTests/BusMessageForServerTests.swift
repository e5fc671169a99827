import NIOCore
import Testing

@testable import CrossServerWire

@Suite struct BusMessageForServerTests {
    @Test(arguments: BusSample.all)
    func passesOverWhatAServerDoesNotHandle(sample: BusSample) throws {
        for buffer in [ByteBuffer(string: sample.json), ByteBuffer(hex: sample.messagePack)] {
            for server in ["nodeA", "nodeB", "nodeC"] {
                let isUnwanted =
                    switch sample.message {
                    case .event(let event):
                        event.sender == server || !(event.targets.isEmpty || event.targets.contains(server))
                    case .reply(let reply): reply.sender == server
                    case .clients: false
                    }
                let expected = isUnwanted ? nil : sample.message
                #expect(try BusMessage(decoding: buffer, for: server) == expected)
            }
        }
    }

    /// The sender comes last, after what cannot be converted.
    @Test func doesNotConvertAPayloadThatNobodyWants() throws {
        let message = ByteBuffer(
            hex: "81a46461746183a56576656e74a165a77061796c6f61648190c0ac73656e646572536572766572a16e"
        )
        #expect(throws: BusMessageError.self) { try BusMessage(decoding: message) }
        #expect(throws: BusMessageError.self) { try BusMessage(decoding: message, for: "m") }
        #expect(try BusMessage(decoding: message, for: "n") == nil)
    }
}
