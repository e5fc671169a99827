import CrossServerWire
import FuzzSupport
import NIOCore

/// What is converted to JSON is JSON, and neither direction changes what came out of it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = ByteBuffer(bytes: UnsafeBufferPointer(start: start, count: count))
    checkMessagePack(bytes)
    checkJSON(bytes)
    return 0
}

private func checkMessagePack(_ bytes: ByteBuffer) {
    let decoded = Result { () throws(MessagePackError) in try MessagePackValue(decoding: bytes) }
    let converted = Result { () throws(MessagePackError) in try Payload(messagePack: bytes) }
    switch (decoded, converted) {
    case (.success, .failure(.tooDeep)), (.success, .failure(.unsupportedKey)): break
    // Maps that are keys are not looked into.
    case (.failure(.tooDeep), .success): break
    case (.success, .failure(let error)): fatalError("decoded, but not converted: \(error)")
    case (.failure(let error), .success): fatalError("converted, but not decoded: \(error)")
    default: break
    }
    if case .success(let payload) = converted, !payload.isAbsent { checkJSON(payload.buffer, mustConvert: true) }
    guard case .success(let value) = decoded else { return }
    let written = write(value)
    guard let again = try? MessagePackValue(decoding: written) else { fatalError("what was written is refused") }
    require(write(again) == written, "another value")
}

private func checkJSON(_ text: ByteBuffer, mustConvert: Bool = false) {
    guard String(validating: text.readableBytesView, as: UTF8.self) != nil else {
        return require(!mustConvert, "converted to what is not UTF-8")
    }
    guard let payload = try? Payload(json: text) else {
        return require(!mustConvert, "converted to what is no JSON: \(String(buffer: text))")
    }
    guard let packed = try? payload.messagePack() else {
        return require(!mustConvert, "converted, but not back: \(String(buffer: text))")
    }
    guard let unpacked = try? Payload(messagePack: packed) else { fatalError("what was written is refused") }
    guard let again = try? unpacked.messagePack() else { fatalError("converted, but not back: \(unpacked.json)") }
    require(again == packed, "other bytes: \(unpacked.json)")
    guard let value = try? MessagePackValue(decoding: packed) else { fatalError("what was written is refused") }
    require(write(value) == packed, "not as short as it can be")
}

private func write(_ value: MessagePackValue) -> ByteBuffer {
    var buffer = ByteBuffer()
    do throws(MessagePackError) {
        try value.write(into: &buffer)
    } catch {
        fatalError("decoded, but not written: \(error)")
    }
    return buffer
}
