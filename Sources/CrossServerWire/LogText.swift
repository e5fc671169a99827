/// A text of somebody else, such as an id, a reason or an error, fit for one line of a log or a terminal: it cannot end
/// the line, move the cursor, change the direction of writing or hide a part of itself.
package struct LogText: Sendable, CustomStringConvertible {
    /// Characters (Unicode scalars) that are shown; then follows how many were left out.
    package static let maximumLength = 1_024

    package let description: String

    package init<Value>(_ value: Value) {
        self.description = Self.escaped("\(value)", maximumLength: Self.maximumLength)
    }

    /// The text with control and format characters and line separators as `\u{…}`.
    package static func escaped(_ text: String, maximumLength: Int = .max) -> String {
        if text.utf8.count <= maximumLength, text.utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) { return text }
        var result = ""
        var count = 0
        for scalar in text.unicodeScalars {
            if count == maximumLength {
                return result + "… (\(text.unicodeScalars.count - count) characters more)"
            }
            count += 1
            if Self.isHarmful(scalar) {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Whether the character is not shown as itself, but changes how others are.
    package static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        if 0x20..<0x7F ~= scalar.value { return false }
        return switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}

extension StringProtocol {
    /// The first control character (C0, C1 or DEL).
    package var firstControlCharacter: Unicode.Scalar? {
        if self.utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) { return nil }
        return self.unicodeScalars.first { $0.properties.generalCategory == .control }
    }
}
