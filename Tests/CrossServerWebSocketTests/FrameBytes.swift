import CrossServerWire
import NIOCore

@testable import CrossServerWebSocket

/// Frames as bytes, right or wrong.
enum FrameBytes {
    static let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]

    /// - Parameter announced: the length in the header when it is not that of the payload.
    static func frame(
        _ opcode: UInt8,
        _ payload: [UInt8] = [],
        isFinal: Bool = true,
        reserved: UInt8 = 0,
        masked: Bool = true,
        announced: Int? = nil
    ) -> [UInt8] {
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        let length = announced ?? payload.count
        let maskBit: UInt8 = masked ? 0x80 : 0
        if length < 126 {
            bytes.append(maskBit | UInt8(length))
        } else if length < 65_536 {
            bytes += [maskBit | 126, UInt8(length >> 8), UInt8(length & 255)]
        } else {
            bytes.append(maskBit | 127)
            bytes += (0..<8).map { UInt8(length >> (56 - 8 * $0) & 255) }
        }
        if masked { bytes += self.key }
        return bytes + (masked ? self.mask(payload) : payload)
    }

    static func text(_ text: String, isFinal: Bool = true, masked: Bool = true) -> [UInt8] {
        self.frame(0x1, Array(text.utf8), isFinal: isFinal, masked: masked)
    }

    static func close(_ code: UInt16, _ reason: String = "", masked: Bool = true) -> [UInt8] {
        self.frame(0x8, [UInt8(code >> 8), UInt8(code & 255)] + Array(reason.utf8), masked: masked)
    }

    static func mask(_ payload: [UInt8]) -> [UInt8] {
        payload.enumerated().map { $1 ^ self.key[$0 & 3] }
    }
}

/// What a decoder said.
enum Outcome: Equatable {
    case text(String)
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, String)
    case violation(UInt16)
}

struct DecoderSettings {
    var role = WebSocketRole.server
    var maximumMessageSize = 1 << 20
    var maximumFragments = 1_024
    var deflate: NegotiatedDeflate?
    var deflateConfiguration = PerMessageDeflate()
}

func decode(_ pieces: [[UInt8]], _ settings: DecoderSettings = .init()) -> [Outcome] {
    var decoder = MessageDecoder(
        role: settings.role,
        maximumMessageSize: settings.maximumMessageSize,
        maximumFragments: settings.maximumFragments,
        deflate: settings.deflate.map {
            DeflateCodec(role: settings.role, negotiated: $0, configuration: settings.deflateConfiguration)
        }
    )
    var scratch = ByteBuffer()
    var outcomes: [Outcome] = []
    for piece in pieces {
        decoder.receive(ByteBuffer(bytes: piece), scratch: &scratch)
        do throws(WebSocketError) {
            while let event = try decoder.next() {
                outcomes.append(Outcome(event))
            }
        } catch {
            return outcomes + [.violation(error.closeCode.rawValue)]
        }
    }
    return outcomes
}

extension Outcome {
    init(_ event: MessageDecoder.Event) {
        switch event {
        case .message(let message):
            switch message.kind {
            case .text: self = .text(String(buffer: message.payload))
            case .binary: self = .binary(Array(message.payload.readableBytesView))
            }
        case .ping(let payload): self = .ping(Array(payload.readableBytesView))
        case .pong(let payload): self = .pong(Array(payload.readableBytesView))
        case .close(let frame): self = .close(frame.code?.rawValue, frame.reason)
        }
    }
}

extension Array {
    /// The elements in groups of a size.
    func pieces(of size: Int) -> [[Element]] {
        stride(from: 0, to: self.count, by: size).map { Array(self[$0..<Swift.min($0 + size, self.count)]) }
    }
}
