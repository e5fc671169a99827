import FuzzSupport
import NIOCore

@testable import CrossServerWebSocket

/// Hostile compressed data never inflates past the limit, and what we compress inflates to what it was.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let flags = input.byte()
    let seed = input.byte()
    let bytes = Array(input.rest)
    if flags & 1 == 0 {
        let limit = [64, 1_000, 70_000, 1 << 20][Int(flags >> 1 & 3)]
        let whole = inflate([bytes], limit: limit)
        for pieces in [bytes.singles, bytes.pieces(seed: seed)] {
            let cut = inflate(pieces, limit: limit)
            require(cut == whole, "inflated in pieces: \(cut?.count ?? -1) bytes, whole: \(whole?.count ?? -1)")
        }
    } else {
        roundTrip(bytes.pieces(seed: seed), flags: flags)
    }
    return 0
}

/// - Returns: nil when the data is refused.
private func inflate(_ pieces: [[UInt8]], limit: Int) -> [UInt8]? {
    var configuration = PerMessageDeflate()
    configuration.maximumRatio = .max
    let codec = DeflateCodec(role: .server, negotiated: .init(), configuration: configuration)
    var output = ByteBuffer()
    do throws(WebSocketError) {
        for piece in pieces {
            try codec.inflate(ByteBuffer(bytes: piece), into: &output, maximumSize: limit)
            check(output, limit)
        }
        try codec.finishInflating(into: &output, maximumSize: limit)
    } catch {
        check(output, limit)
        return nil
    }
    check(output, limit)
    return Array(output.readableBytesView)
}

private func check(_ output: ByteBuffer, _ limit: Int) {
    require(output.readableBytes <= limit, "inflated to \(output.readableBytes) bytes of at most \(limit)")
    require(output.capacity <= 2 * limit + 1_024, "took \(output.capacity) bytes of memory for at most \(limit)")
}

private func roundTrip(_ messages: [[UInt8]], flags: UInt8) {
    let negotiated = NegotiatedDeflate(
        serverNoContextTakeover: flags & 2 != 0,
        serverWindowBits: 9 + Int(flags >> 2 & 7) % 7
    )
    var configuration = PerMessageDeflate()
    configuration.minimumSize = 0
    configuration.compressionLevel = 1 + Int(flags >> 5) % 9
    let server = DeflateCodec(role: .server, negotiated: negotiated, configuration: configuration)
    let client = DeflateCodec(role: .client, negotiated: negotiated, configuration: configuration)
    for message in messages {
        var compressed = ByteBuffer()
        require(server.compress(ByteBuffer(bytes: message), into: &compressed), "not compressed")
        var inflated = ByteBuffer()
        do throws(WebSocketError) {
            try client.inflate(compressed, into: &inflated, maximumSize: message.count)
            try client.finishInflating(into: &inflated, maximumSize: message.count)
        } catch {
            fatalError("own data is refused: \(error)")
        }
        require(Array(inflated.readableBytesView) == message, "inflates to something else")
    }
}
