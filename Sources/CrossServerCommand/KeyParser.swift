/// A key of a terminal.
enum Key: Equatable {
    case text(String)
    case enter
    case backspace, delete
    case left, right, up, down, home, end
    /// With the control key: the letter.
    case control(Character)
}

/// Makes keys of the bytes that a terminal sends. Sequences and characters may be cut anywhere.
struct KeyParser {
    private enum State {
        case plain
        case escape
        /// After `ESC [` or `ESC O`.
        case sequence([UInt8])
        /// The first bytes of a character, and how many it has.
        case character([UInt8], count: Int)
    }

    private static let maximumSequence = 16
    private var state = State.plain

    mutating func parse(_ bytes: some Sequence<UInt8>) -> [Key] {
        var keys: [Key] = []
        for byte in bytes {
            guard let key = self.parse(byte) else { continue }
            if case .text(let text) = key, case .text(let before)? = keys.last {
                keys[keys.count - 1] = .text(before + text)
            } else {
                keys.append(key)
            }
        }
        return keys
    }

    private mutating func parse(_ byte: UInt8) -> Key? {
        switch self.state {
        case .plain:
            return self.plain(byte)
        case .escape:
            self.state = byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O") ? .sequence([]) : .plain
            return nil
        case .sequence(let bytes):
            if 0x40...0x7E ~= byte {
                self.state = .plain
                return Self.key(final: byte, parameters: bytes)
            }
            self.state = bytes.count < Self.maximumSequence ? .sequence(bytes + [byte]) : .plain
            return nil
        case .character(var bytes, let count):
            guard byte & 0xC0 == 0x80 else {
                self.state = .plain
                return self.plain(byte)
            }
            bytes.append(byte)
            if bytes.count < count {
                self.state = .character(bytes, count: count)
                return nil
            }
            self.state = .plain
            return String(validating: bytes, as: UTF8.self).map { .text($0) }
        }
    }

    private mutating func plain(_ byte: UInt8) -> Key? {
        switch byte {
        case 0x1B:
            self.state = .escape
            return nil
        case 0x0D, 0x0A: return .enter
        case 0x08, 0x7F: return .backspace
        case 0x01...0x1A: return .control(Character(Unicode.Scalar(byte + 0x60)))
        case 0x20..<0x7F: return .text(String(Unicode.Scalar(byte)))
        case 0xC2...0xDF: self.state = .character([byte], count: 2)
        case 0xE0...0xEF: self.state = .character([byte], count: 3)
        case 0xF0...0xF4: self.state = .character([byte], count: 4)
        default: break
        }
        return nil
    }

    private static func key(final: UInt8, parameters: [UInt8]) -> Key? {
        switch final {
        case UInt8(ascii: "A"): return .up
        case UInt8(ascii: "B"): return .down
        case UInt8(ascii: "C"): return .right
        case UInt8(ascii: "D"): return .left
        case UInt8(ascii: "H"): return .home
        case UInt8(ascii: "F"): return .end
        case UInt8(ascii: "~"):
            switch String(decoding: parameters, as: UTF8.self) {
            case "1", "7": return .home
            case "4", "8": return .end
            case "3": return .delete
            default: return nil
            }
        default: return nil
        }
    }
}
