import CrossServerWire
import NIOCore

/// The body of a Close frame (RFC 6455, section 5.5.1).
package struct CloseFrame: Equatable, Sendable {
    /// Nil: the body is empty.
    var code: CloseCode?
    var reason: String

    static let maximumReasonSize = FrameHeader.maximumControlPayload - 2

    /// - Parameter reason: cut to 123 bytes at a character boundary.
    init(code: CloseCode?, reason: String = "") {
        self.code = code
        self.reason = reason
        if code == nil {
            self.reason = ""
        } else if reason.utf8.count > Self.maximumReasonSize {
            var end = reason.utf8.index(reason.utf8.startIndex, offsetBy: Self.maximumReasonSize)
            // A character starts where a byte is not of the form 10xxxxxx.
            while reason.utf8[end] & 0xC0 == 0x80 {
                end = reason.utf8.index(before: end)
            }
            self.reason = String(reason[..<end])
        }
    }

    init(parsing payload: ByteBuffer) throws(WebSocketError) {
        var payload = payload
        if payload.readableBytes == 0 {
            self.init(code: nil)
            return
        }
        guard let code = payload.readInteger(as: UInt16.self).map(CloseCode.init(rawValue:)) else {
            throw .protocolError("Close body of one byte")
        }
        guard code.isAllowedOnTheWire else { throw .protocolError("close code \(code) must not be sent") }
        guard payload.withUnsafeReadableBytes({ UTF8Validator.isValid($0) }) else {
            throw .invalidPayload("close reason is not UTF-8")
        }
        self.init(code: code, reason: String(buffer: payload))
    }

    var payload: ByteBuffer {
        var payload = ByteBuffer()
        if let code = self.code {
            payload.writeInteger(code.rawValue)
            payload.writeString(self.reason)
        }
        return payload
    }
}
