import FuzzSupport
import NIOCore

@testable import CrossServerWebSocket

/// A stream of frames means the same however it is cut, and what is decoded survives being sent again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let flags = input.byte()
    let seed = input.byte()
    let settings = DecoderSettings(
        role: flags & 1 == 0 ? .server : .client,
        maximumMessageSize: flags & 2 == 0 ? 100_000 : 64,
        deflate: flags & 4 == 0 ? nil : NegotiatedDeflate(clientNoContextTakeover: flags & 8 != 0)
    )
    let bytes = Array(input.rest)
    let outcomes = decode([bytes], settings)
    for pieces in [bytes.singles, bytes.pieces(seed: seed)] {
        let others = decode(pieces, settings)
        require(
            isSame(outcomes, others, exactCode: settings.deflate == nil),
            "cut: \(others)\nwhole: \(outcomes)"
        )
    }
    for outcome in outcomes {
        if case .message(let isText, let payload) = outcome { sendAgain(isText: isText, payload) }
    }
    return 0
}

private func sendAgain(isText: Bool, _ payload: [UInt8]) {
    let buffer = ByteBuffer(bytes: payload)
    let message = isText ? EncodedMessage(text: buffer) : EncodedMessage(binary: buffer)
    let toClient = DecoderSettings(role: .client, maximumMessageSize: payload.count, deflate: nil)
    let expected: [Outcome] = [.message(isText: isText, payload)]
    require(decode([Array(message.frame.readableBytesView)], toClient) == expected, "sent by a server")

    var masked = ByteBuffer()
    masked.writeFrame(isText ? .text : .binary, payload: buffer, maskingKey: 0x1234_5678)
    let toServer = DecoderSettings(role: .server, maximumMessageSize: payload.count, deflate: nil)
    require(decode([Array(masked.readableBytesView)], toServer) == expected, "sent by a client")
}
