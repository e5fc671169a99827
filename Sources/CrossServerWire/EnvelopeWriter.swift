public import NIOCore

extension ByteBuffer {
    /// Writes `{"event":…,"payload":…}`: an event, or with a callback id a request.
    public mutating func writeEnvelope(event: String, payload: Payload, callbackId: CallbackID? = nil) {
        self.writeStaticString("{\"event\":")
        self.writeJSONString(event)
        if !payload.isAbsent {
            self.writeStaticString(",\"payload\":")
            self.writeImmutableBuffer(payload.buffer)
        }
        if let callbackId {
            self.writeStaticString(",\"callbackId\":")
            self.writeImmutableBuffer(callbackId.literal)
        }
        self.writeInteger(UInt8(ascii: "}"))
    }

    /// Writes `{"payload":…,"callbackId":…}`, the reply to a request.
    ///
    /// - Parameter error: when the request failed, an object with `code` and `message`. Clients that do not know the
    ///   key see the payload alone.
    public mutating func writeReply(_ payload: Payload, to callbackId: CallbackID, error: Payload? = nil) {
        self.writeInteger(UInt8(ascii: "{"))
        if !payload.isAbsent {
            self.writeStaticString("\"payload\":")
            self.writeImmutableBuffer(payload.buffer)
            self.writeInteger(UInt8(ascii: ","))
        }
        self.writeStaticString("\"callbackId\":")
        self.writeImmutableBuffer(callbackId.literal)
        if let error {
            self.writeStaticString(",\"error\":")
            self.writeImmutableBuffer(error.buffer)
        }
        self.writeInteger(UInt8(ascii: "}"))
    }
}
