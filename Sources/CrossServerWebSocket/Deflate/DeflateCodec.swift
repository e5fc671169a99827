import CrossServerWire
import NIOCore

/// Both directions of permessage-deflate of one connection. The zlib streams are made with the first message that needs
/// them: together they take up to 300 KB.
final class DeflateCodec {
    private struct Direction {
        var windowBits: Int
        var forgetsContext: Bool
    }

    private let outbound: Direction
    private let inbound: Direction
    private let compressionLevel: Int
    private let memoryLevel: Int
    private let minimumSize: Int
    private let maximumRatio: Int
    private var deflater: Deflater?
    private var inflater: Inflater?

    init(role: WebSocketRole, negotiated: NegotiatedDeflate, configuration: PerMessageDeflate) {
        let server = Direction(
            windowBits: negotiated.serverWindowBits,
            forgetsContext: negotiated.serverNoContextTakeover || configuration.serverNoContextTakeover
        )
        let client = Direction(
            windowBits: negotiated.clientWindowBits,
            forgetsContext: negotiated.clientNoContextTakeover || configuration.clientNoContextTakeover
        )
        self.outbound = role == .server ? server : client
        self.inbound = Direction(
            windowBits: role == .server ? client.windowBits : server.windowBits,
            forgetsContext: role == .server ? negotiated.clientNoContextTakeover : negotiated.serverNoContextTakeover
        )
        self.compressionLevel = min(9, max(1, configuration.compressionLevel))
        self.memoryLevel = min(9, max(1, configuration.memoryLevel))
        self.minimumSize = configuration.minimumSize
        self.maximumRatio = configuration.maximumRatio
    }

    /// Bytes in memory of the streams, as zlib's documentation has them.
    var heldBytes: Int {
        let deflating = self.deflater == nil ? 0 : 1 << (self.outbound.windowBits + 2) + 1 << (self.memoryLevel + 9)
        let inflating = self.inflater == nil ? 0 : 1 << self.inbound.windowBits + Self.inflaterState
        return deflating + inflating
    }

    private static let inflaterState = 7_168

    /// Gives the memory back. The connection compresses and inflates nothing any more.
    func releaseStreams() {
        self.deflater = nil
        self.inflater = nil
    }

    /// What a message of a size may take compressed; more is not worth reading. Senders that flush often need more than
    /// the message itself.
    static func maximumCompressedSize(for maximumMessageSize: Int) -> Int {
        let (doubled, overflows) = maximumMessageSize.multipliedReportingOverflow(by: 2)
        return overflows ? .max : doubled.addingReportingOverflow(1_024).overflow ? .max : doubled + 1_024
    }

    func inflate(_ piece: ByteBuffer, into output: inout ByteBuffer, maximumSize: Int) throws(WebSocketError) {
        let inflater = try self.activeInflater()
        try inflater.inflate(piece, into: &output, maximumSize: maximumSize, maximumRatio: self.maximumRatio)
    }

    /// Ends a message.
    func finishInflating(into output: inout ByteBuffer, maximumSize: Int) throws(WebSocketError) {
        let inflater = try self.activeInflater()
        try inflater.finish(into: &output, maximumSize: maximumSize, maximumRatio: self.maximumRatio)
        if self.inbound.forgetsContext { inflater.reset() }
    }

    /// - Returns: false when the message has to be sent as it is; nothing is written then.
    func compress(_ payload: ByteBuffer, into output: inout ByteBuffer) -> Bool {
        // zlib cannot compress with a window of 8 bits, which a peer may ask for.
        guard payload.readableBytes > 0, payload.readableBytes >= self.minimumSize, self.outbound.windowBits >= 9,
            let deflater = self.activeDeflater()
        else { return false }
        deflater.compress(payload, into: &output)
        if self.outbound.forgetsContext { deflater.reset() }
        return true
    }

    private func activeInflater() throws(WebSocketError) -> Inflater {
        if let inflater = self.inflater { return inflater }
        guard let inflater = Inflater(windowBits: self.inbound.windowBits) else {
            throw WebSocketError(closeCode: .internalError, message: "no memory to inflate")
        }
        self.inflater = inflater
        return inflater
    }

    private func activeDeflater() -> Deflater? {
        if let deflater = self.deflater { return deflater }
        self.deflater = Deflater(
            windowBits: self.outbound.windowBits,
            level: self.compressionLevel,
            memoryLevel: self.memoryLevel
        )
        return self.deflater
    }
}
