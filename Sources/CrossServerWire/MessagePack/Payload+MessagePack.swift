public import NIOCore

extension Payload {
    /// The longest input that is converted to or from JSON, in bytes. What comes of it then fits a `ByteBuffer`.
    static let maximumConvertedLength = 1 << 27

    /// Converts one MessagePack value to JSON.
    ///
    /// What JSON cannot hold becomes what the Node original makes of it: NaN and infinities `null`, a binary
    /// `{"type":"Buffer","data":[…]}`, a timestamp an ISO 8601 string, another extension an array of its type and its
    /// bytes, a key that is no string its text. The undefined of old notepack.io versions leaves its member out.
    ///
    /// - Throws: ``MessagePackError`` when the bytes are not exactly one value, are nested more than 512 deep, or are
    ///   more than 128 MiB.
    public init(messagePack: ByteBuffer) throws(MessagePackError) {
        self = try messagePack.withUnsafeReadableBytes { bytes throws(MessagePackError) in
            var reader = MessagePackReader(bytes)
            let payload = try Payload(messagePack: &reader)
            guard reader.isAtEnd else { throw .trailingBytes(offset: reader.position) }
            return payload
        }
    }

    /// Takes the value that comes next. ``absent`` when that is undefined.
    init(messagePack reader: inout MessagePackReader) throws(MessagePackError) {
        guard reader.remaining <= Payload.maximumConvertedLength else {
            throw .tooLong(maximum: Payload.maximumConvertedLength)
        }
        if reader.isAtUndefined {
            try reader.skipValue()
            self = .absent
            return
        }
        var buffer = ByteBuffer()
        try buffer.writeOutput(estimate: reader.remaining + reader.remaining / 4 + 16) {
            (output) throws(MessagePackError) in
            try reader.writeJSON(to: &output)
        }
        self.init(unchecked: buffer)
    }

    /// Converts the payload to MessagePack. A whole number becomes an integer, however it is written; of a repeated key
    /// the last counts. An absent payload becomes nil, as in the original.
    ///
    /// - Throws: ``MessagePackError``: `numberOutOfRange` or `unpairedSurrogate` for what MessagePack cannot hold,
    ///   `tooLong` for more than 128 MiB.
    public func messagePack() throws(MessagePackError) -> ByteBuffer {
        var buffer = ByteBuffer()
        try buffer.writeOutput(estimate: self.buffer.readableBytes + 8) { (output) throws(MessagePackError) in
            try output.writeMessagePack(self)
        }
        return buffer
    }
}

extension OutputBytes {
    mutating func writeMessagePack(_ payload: Payload) throws(MessagePackError) {
        if payload.isAbsent {
            self.writeMessagePackNull()
        } else {
            try payload.buffer.withUnsafeReadableBytes { json throws(MessagePackError) in
                try MessagePackFromJSON.write(json, to: &self)
            }
        }
    }
}
