import CrossServerWire

/// What a terminal makes of a text.
enum TerminalText {
    /// JSON on one line, the same value, with nothing that a terminal would obey: such characters are escaped as JSON
    /// does it.
    static func line(json: String) -> String {
        if json.unicodeScalars.allSatisfy({ !LogText.isHarmful($0) }) { return json }
        var result = ""
        for scalar in json.unicodeScalars {
            if !LogText.isHarmful(scalar) {
                result.unicodeScalars.append(scalar)
            } else if scalar.value < 0x20 {
                // Valid JSON has them only between its tokens.
                result += " "
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
        return result
    }

    /// Columns that the text takes.
    static func width(_ text: String) -> Int {
        text.reduce(0) { $0 + Self.width($1) }
    }

    /// Columns that a character takes: 0, 1 or 2.
    static func width(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        if first.properties.isEmojiPresentation || character.unicodeScalars.contains("\u{FE0F}") { return 2 }
        switch first.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        default: return Self.isWide(first.value) ? 2 : 1
        }
    }

    /// The wide and full-width ranges of Unicode's East Asian Width, without emoji.
    private static func isWide(_ value: UInt32) -> Bool {
        switch value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
            0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6,
            0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            true
        default: false
        }
    }
}
