import CrossServerWire
import Foundation
import Synchronization

/// The terminal of `connect`: a line that is being typed, and above it what comes meanwhile.
final class ConnectScreen: Sendable {
    private struct State {
        var editor = LineEditor()
        var keys = KeyParser()
        var isShown = false
    }

    private let state = Mutex(State())
    private static let prompt = "> "
    private static let clearLine = "\r\u{1B}[K"

    /// Shows the line that is being typed.
    func open() {
        self.state.withLock { state in
            state.isShown = true
            Self.draw(state.editor)
        }
    }

    /// Leaves the terminal as if nothing had been typed.
    func close() {
        self.state.withLock { state in
            guard state.isShown else { return }
            state.isShown = false
            writeAll(Self.clearLine, to: STDOUT_FILENO)
        }
    }

    /// Prints above the line that is being typed. The text must be printable.
    func print(_ text: String) {
        self.state.withLock { state in
            guard state.isShown else { return writeAll(text + "\n", to: STDOUT_FILENO) }
            writeAll(Self.clearLine + text + "\n", to: STDOUT_FILENO)
            Self.draw(state.editor)
        }
    }

    /// Takes what was typed.
    ///
    /// - Returns: the lines that are complete, and whether the user wants to leave.
    func typed(_ bytes: [UInt8]) -> (lines: [String], quits: Bool) {
        self.state.withLock { state in
            var lines: [String] = []
            for key in state.keys.parse(bytes) {
                switch state.editor.handle(key) {
                case .none, .changed: break
                case .line(let line):
                    let shown = LogText.escaped(line)
                    writeAll(Self.clearLine + Self.prompt + shown + "\n", to: STDOUT_FILENO)
                    lines.append(line)
                case .clearScreen:
                    writeAll("\u{1B}[2J\u{1B}[H", to: STDOUT_FILENO)
                case .quit:
                    return (lines, true)
                }
            }
            Self.draw(state.editor)
            return (lines, false)
        }
    }

    var history: [String] { self.state.withLock { $0.editor.history } }

    private static func draw(_ editor: LineEditor) {
        let (text, cursor) = editor.visible(columns: RawTerminal.columns - Self.prompt.count)
        let column = Self.prompt.count + cursor
        writeAll("\(self.clearLine)\(self.prompt)\(text)\r\u{1B}[\(column)C", to: STDOUT_FILENO)
    }
}
