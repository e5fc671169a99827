import CrossServerWire
import FuzzSupport
import NIOCore

/// The scanner accepts exactly the objects of RFC 8259, and what it finds can be written and found again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    // The frame decoder lets nothing else through.
    guard String(validating: bytes, as: UTF8.self) != nil else { return 0 }
    var reference = JSONReference(bytes)
    let isValid = reference.isText()
    var scanned: Envelope?
    do throws(EnvelopeError) {
        scanned = try Envelope(scanning: ByteBuffer(bytes: bytes))
        require(isValid, "accepted, but no JSON")
        require(reference.startsWithBrace, "accepted, but no object")
    } catch {
        switch error {
        case .notAnObject: require(isValid && !reference.startsWithBrace, "is an object, or no JSON at all")
        case .invalidJSON: require(!isValid, "refused, but JSON")
        }
    }
    if let scanned { writeAgain(scanned) }
    return 0
}

private func writeAgain(_ envelope: Envelope) {
    if !envelope.payload.isAbsent {
        require((try? Payload(json: envelope.payload.buffer)) == envelope.payload, "the payload is no JSON value")
        _ = envelope.payload.string
        _ = envelope.payload.array
        _ = envelope.payload["event"]
    }
    require(envelope.callbackId == nil || envelope.hasCallbackId, "a callback id that is not there")
    if let id = envelope.callbackId {
        require((1...64).contains(id.string.utf16.count), "length of a callback id")
        check(event: nil, envelope, callbackId: id) { $0.writeReply(envelope.payload, to: id) }
    }
    if let event = envelope.event {
        check(event: event, envelope, callbackId: envelope.callbackId) {
            $0.writeEnvelope(event: event, payload: envelope.payload, callbackId: envelope.callbackId)
        }
    }
}

private func check(
    event: String?,
    _ envelope: Envelope,
    callbackId: CallbackID?,
    writing: (inout ByteBuffer) -> Void
) {
    var buffer = ByteBuffer()
    writing(&buffer)
    guard let again = try? Envelope(scanning: buffer) else {
        fatalError("what was written is refused: \(String(buffer: buffer))")
    }
    require(again.event == event, "another event")
    require(again.payload == envelope.payload, "another payload")
    require(again.callbackId == callbackId, "another callback id")
}
