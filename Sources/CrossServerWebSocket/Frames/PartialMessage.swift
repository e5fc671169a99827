import NIOCore

/// A message whose end has not been read.
final class PartialMessage {
    static let invalidText = WebSocketError.invalidPayload("text is not UTF-8")

    private let kind: WebSocketMessage.Kind
    private let codec: DeflateCodec?
    /// Grows with what arrives, by doubling; the announced length is not trusted.
    private var payload = ByteBuffer()
    private var validator = UTF8Validator()
    /// Bytes of the frames' payloads, compressed if they are.
    private(set) var receivedSize = 0
    var fragments = 1

    /// - Parameter codec: nil when the message is not compressed.
    init(kind: WebSocketMessage.Kind, inflating codec: DeflateCodec?) {
        self.kind = kind
        self.codec = codec
    }

    var capacity: Int { self.payload.capacity }

    var isCompressed: Bool { self.codec != nil }

    func append(_ piece: ByteBuffer, maximumSize: Int) throws(WebSocketError) {
        self.receivedSize += piece.readableBytes
        let start = self.payload.readableBytes
        if let codec = self.codec {
            try codec.inflate(piece, into: &self.payload, maximumSize: maximumSize)
        } else {
            self.payload.writeImmutableBuffer(piece)
        }
        try self.validate(from: start)
    }

    func finish(maximumSize: Int) throws(WebSocketError) -> WebSocketMessage {
        if let codec = self.codec {
            let start = self.payload.readableBytes
            try codec.finishInflating(into: &self.payload, maximumSize: maximumSize)
            try self.validate(from: start)
        }
        if self.kind == .text, !self.validator.isComplete { throw Self.invalidText }
        return WebSocketMessage(kind: self.kind, payload: self.payload)
    }

    private func validate(from start: Int) throws(WebSocketError) {
        guard self.kind == .text else { return }
        let isValid = self.payload.withUnsafeReadableBytes { bytes in
            self.validator.consume(.init(rebasing: bytes[start...]))
        }
        guard isValid else { throw Self.invalidText }
    }
}
