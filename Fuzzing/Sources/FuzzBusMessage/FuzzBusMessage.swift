import CrossServerWire
import FuzzSupport
import NIOCore

/// What is decoded can be written in both encodings and decoded again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = ByteBuffer(bytes: UnsafeBufferPointer(start: start, count: count))
    guard let message = try? BusMessage(decoding: bytes) else { return 0 }
    require(copy(message, as: .json) == message, "another message, as JSON")
    // Not every payload is kept to the letter.
    guard let packed = copy(message, as: .messagePack) else { return 0 }
    require(copy(packed, as: .messagePack) == packed, "another message, as MessagePack")
    require(copy(packed, as: .json) == packed, "another message, as JSON after MessagePack")
    if case .clients = message { require(packed == message, "another message for clients") }
    return 0
}

/// - Returns: nil when the payload cannot be written.
private func copy(_ message: BusMessage, as encoding: BusEncoding) -> BusMessage? {
    var buffer = ByteBuffer()
    do throws(BusMessageError) {
        try message.write(into: &buffer, as: encoding)
        return try BusMessage(decoding: buffer)
    } catch {
        guard case .invalidPayload = error, encoding == .messagePack else { fatalError("refused: \(error)") }
        return nil
    }
}
