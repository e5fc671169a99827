public import NIOCore

extension ByteBuffer {
    /// Writes `{"event":…,"payload":…}`: an event, or with an id a request.
    ///
    /// - Parameters:
    ///   - callbackId: of a request of a client to its server.
    ///   - requestId: of a request of a server to a client.
    public mutating func writeEnvelope(
        event: String,
        payload: Payload,
        callbackId: CallbackID? = nil,
        requestId: CallbackID? = nil
    ) {
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
        if let requestId {
            self.writeStaticString(",\"requestId\":")
            self.writeImmutableBuffer(requestId.literal)
        }
        self.writeInteger(UInt8(ascii: "}"))
    }

    /// Writes `{"payload":…,"requestId":…}`, the reply of a client to a request of its server.
    ///
    /// - Parameter error: when the request failed, an object with `code` and `message`.
    public mutating func writeReply(_ payload: Payload, toRequest requestId: CallbackID, error: Payload? = nil) {
        self.writeInteger(UInt8(ascii: "{"))
        if !payload.isAbsent {
            self.writeStaticString("\"payload\":")
            self.writeImmutableBuffer(payload.buffer)
            self.writeInteger(UInt8(ascii: ","))
        }
        self.writeStaticString("\"requestId\":")
        self.writeImmutableBuffer(requestId.literal)
        if let error {
            self.writeStaticString(",\"error\":")
            self.writeImmutableBuffer(error.buffer)
        }
        self.writeInteger(UInt8(ascii: "}"))
    }

    /// Writes `{"payload":…,"callbackId":…}`, the reply to a request.
    ///
    /// - Parameter error: when the request failed, an object with `code` and `message`. Clients that do not know the
    ///   key see the payload alone.
    public mutating func writeReply(_ payload: Payload, to callbackId: CallbackID, error: Payload? = nil) {
        let size = Self.replySize(payload, to: callbackId, error: error)
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { bytes in
            var writer = BytesWriter(bytes)
            writer.write("{")
            if !payload.isAbsent {
                writer.write("\"payload\":")
                writer.write(payload.buffer)
                writer.write(",")
            }
            writer.write("\"callbackId\":")
            writer.write(callbackId.literal)
            if let error {
                writer.write(",\"error\":")
                writer.write(error.buffer)
            }
            writer.write("}")
            return writer.position
        }
    }

    /// What ``writeReply(_:to:error:)`` writes, in bytes.
    public static func replySize(_ payload: Payload, to callbackId: CallbackID, error: Payload? = nil) -> Int {
        let payloadSize = payload.isAbsent ? 0 : "\"payload\":,".utf8.count + payload.buffer.readableBytes
        let errorSize = error.map { ",\"error\":".utf8.count + $0.buffer.readableBytes } ?? 0
        return payloadSize + errorSize + "{\"callbackId\":}".utf8.count + callbackId.literal.readableBytes
    }
}

/// Writes into memory that is known to be large enough, without a check for each piece.
struct BytesWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        self.bytes = bytes
    }

    @inline(__always)
    mutating func write(_ text: StaticString) {
        self.write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func write(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { self.write($0) }
    }

    @inline(__always)
    private mutating func write(_ source: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.bytes[self.position...]).copyMemory(from: source)
        self.position += source.count
    }
}
