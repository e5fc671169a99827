import NIOCore

/// Pings and pongs that were not written yet. They are written before messages.
final class ControlQueue {
    private let role: WebSocketRole
    /// Whole frames.
    private var frames = ByteBuffer()
    private var newestPong: ByteBuffer?
    private var newestPing: ByteBuffer?

    /// More bytes than this are not collected.
    private static let maximumFrames = 4_096

    init(role: WebSocketRole) {
        self.role = role
    }

    /// - Parameter isBlocked: the channel takes no more. Then only the newest frame of each kind is kept: a peer that
    ///   sends pings and does not read takes no memory, and its newest ping is answered (RFC 6455, section 5.5.3).
    /// - Returns: true when the frames should be written before more are added.
    func append(_ opcode: Opcode, _ payload: ByteBuffer, isBlocked: Bool) -> Bool {
        var payload = payload
        let cut = payload.readSlice(length: min(payload.readableBytes, FrameHeader.maximumControlPayload))
        if isBlocked {
            // A copy, because a slice would keep the whole read that it came with.
            let copy = ByteBuffer(bytes: (cut ?? ByteBuffer()).readableBytesView)
            if opcode == .pong {
                self.newestPong = copy
            } else {
                self.newestPing = copy
            }
            return false
        }
        self.write(opcode, cut ?? ByteBuffer())
        return self.frames.readableBytes > Self.maximumFrames
    }

    /// - Returns: frames to write now, nil when there are none.
    func take(isBlocked: Bool) -> ByteBuffer? {
        if !isBlocked {
            if let ping = self.newestPing { self.write(.ping, ping) }
            if let pong = self.newestPong { self.write(.pong, pong) }
            self.newestPing = nil
            self.newestPong = nil
        }
        guard self.frames.readableBytes > 0 else { return nil }
        let frames = self.frames
        self.frames = ByteBuffer()
        return frames
    }

    var isEmpty: Bool {
        self.frames.readableBytes == 0 && self.newestPong == nil && self.newestPing == nil
    }

    private func write(_ opcode: Opcode, _ payload: ByteBuffer) {
        self.frames.writeFrame(opcode, payload: payload, maskingKey: self.role == .client ? .random() : nil)
    }
}

extension UInt32 {
    /// A masking key that the sender of the payload cannot know in advance (RFC 6455, section 5.3).
    static func random() -> UInt32 {
        UInt32.random(in: .min ... .max)
    }
}
