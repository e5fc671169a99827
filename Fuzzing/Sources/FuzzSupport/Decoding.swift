import CrossServerWire
import NIOCore

@testable public import CrossServerWebSocket

/// What a decoder said.
public enum Outcome: Equatable {
    case message(isText: Bool, [UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, String)
    case violation(UInt16)
}

public struct DecoderSettings {
    public var role: WebSocketRole
    public var maximumMessageSize: Int
    public var deflate: NegotiatedDeflate?

    public init(role: WebSocketRole, maximumMessageSize: Int, deflate: NegotiatedDeflate?) {
        self.role = role
        self.maximumMessageSize = maximumMessageSize
        self.deflate = deflate
    }
}

/// Decodes the pieces and checks what must hold of every event.
public func decode(_ pieces: [[UInt8]], _ settings: DecoderSettings) -> [Outcome] {
    var deflateConfiguration = PerMessageDeflate()
    // How far a ratio is off depends on where the pieces end.
    deflateConfiguration.maximumRatio = .max
    var decoder = MessageDecoder(
        role: settings.role,
        maximumMessageSize: settings.maximumMessageSize,
        maximumFragments: 50,
        deflate: settings.deflate.map {
            DeflateCodec(role: settings.role, negotiated: $0, configuration: deflateConfiguration)
        }
    )
    var scratch = ByteBuffer()
    var outcomes: [Outcome] = []
    for piece in pieces {
        decoder.receive(ByteBuffer(bytes: piece), scratch: &scratch)
        do throws(WebSocketError) {
            while let event = try decoder.next() {
                outcomes.append(checked(event, settings))
            }
        } catch {
            require([1002, 1007, 1008, 1009].contains(error.closeCode.rawValue), "close code of \(error)")
            require(error.message.utf8.count <= 123, "reason of \(error)")
            return outcomes + [.violation(error.closeCode.rawValue)]
        }
        require(decoder.bufferedCapacity <= 4 * settings.maximumMessageSize + 1_024, "memory of a partial message")
    }
    return outcomes
}

private func checked(_ event: MessageDecoder.Event, _ settings: DecoderSettings) -> Outcome {
    switch event {
    case .message(let message):
        let bytes = Array(message.payload.readableBytesView)
        require(bytes.count <= settings.maximumMessageSize, "size of a message")
        if message.kind == .text {
            require(String(validating: bytes, as: UTF8.self) != nil, "text that is not UTF-8")
        }
        return .message(isText: message.kind == .text, bytes)
    case .ping(let payload):
        require(payload.readableBytes <= 125, "size of a ping")
        return .ping(Array(payload.readableBytesView))
    case .pong(let payload):
        require(payload.readableBytes <= 125, "size of a pong")
        return .pong(Array(payload.readableBytesView))
    case .close(let frame):
        require(frame.code?.isAllowedOnTheWire ?? frame.reason.isEmpty, "close \(frame)")
        return .close(frame.code?.rawValue, frame.reason)
    }
}

/// The same events, and both good or both bad. With compression a message can break two rules at once, and the pieces
/// decide which is noticed first.
public func isSame(_ first: [Outcome], _ second: [Outcome], exactCode: Bool) -> Bool {
    if first == second { return true }
    guard !exactCode, first.count == second.count, first.dropLast() == second.dropLast(),
        case .violation? = first.last, case .violation? = second.last
    else { return false }
    return true
}
