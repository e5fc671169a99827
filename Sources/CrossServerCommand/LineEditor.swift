/// A line that is being typed, and those before it. A value without a terminal.
struct LineEditor {
    enum Outcome: Equatable {
        case none
        case changed
        /// The line is complete.
        case line(String)
        /// Control-C or control-D on an empty line.
        case quit
        /// Control-L.
        case clearScreen
    }

    /// Characters of one line.
    static let maximumLength = 65_536
    /// Lines that are remembered.
    static let maximumHistory = 1_000

    private(set) var before: [Character] = []
    private(set) var after: [Character] = []
    private(set) var history: [String] = []
    /// The line of the history that is shown; nil for the one that is being typed.
    private var shown: Int?
    /// What was being typed before the history was looked at.
    private var draft = ""

    var text: String { String(self.before) + String(self.after) }

    mutating func handle(_ key: Key) -> Outcome {
        switch key {
        case .text(let text): return self.insert(text)
        case .enter: return self.enter()
        case .backspace, .control("h"): return self.deleteBackward()
        case .delete: return self.deleteForward()
        case .left, .control("b"): return self.move(by: -1)
        case .right, .control("f"): return self.move(by: 1)
        case .home, .control("a"): return self.move(by: -self.before.count)
        case .end, .control("e"): return self.move(by: self.after.count)
        case .up, .control("p"): return self.showHistory(by: -1)
        case .down, .control("n"): return self.showHistory(by: 1)
        case .control("c"):
            if self.text.isEmpty { return .quit }
            self.replace(by: "")
            self.shown = nil
            return .changed
        case .control("d"):
            return self.text.isEmpty ? .quit : self.deleteForward()
        case .control("k"):
            self.after = []
            return .changed
        case .control("l"): return .clearScreen
        case .control("u"):
            self.before = []
            return .changed
        case .control("w"):
            while self.before.last?.isWhitespace == true { self.before.removeLast() }
            while let last = self.before.last, !last.isWhitespace { self.before.removeLast() }
            return .changed
        case .control: return .none
        }
    }

    private mutating func insert(_ text: String) -> Outcome {
        for character in text where self.before.count + self.after.count < Self.maximumLength {
            // An accent that comes after its letter belongs to it.
            if let last = self.before.last, (String(last) + String(character)).count == 1 {
                self.before[self.before.count - 1] = Character(String(last) + String(character))
            } else {
                self.before.append(character)
            }
        }
        return .changed
    }

    private mutating func enter() -> Outcome {
        let line = self.text
        if !line.allSatisfy(\.isWhitespace), self.history.last != line {
            self.history.append(line)
            if self.history.count > Self.maximumHistory { self.history.removeFirst() }
        }
        self.replace(by: "")
        self.shown = nil
        return .line(line)
    }

    private mutating func deleteBackward() -> Outcome {
        guard !self.before.isEmpty else { return .none }
        self.before.removeLast()
        return .changed
    }

    private mutating func deleteForward() -> Outcome {
        guard !self.after.isEmpty else { return .none }
        self.after.removeFirst()
        return .changed
    }

    private mutating func move(by distance: Int) -> Outcome {
        let all = self.before + self.after
        let position = min(max(self.before.count + distance, 0), all.count)
        guard position != self.before.count else { return .none }
        self.before = Array(all[..<position])
        self.after = Array(all[position...])
        return .changed
    }

    private mutating func showHistory(by step: Int) -> Outcome {
        let position = (self.shown ?? self.history.count) + step
        guard 0...self.history.count ~= position, position != self.shown ?? self.history.count else { return .none }
        if self.shown == nil { self.draft = self.text }
        self.shown = position == self.history.count ? nil : position
        self.replace(by: position == self.history.count ? self.draft : self.history[position])
        return .changed
    }

    private mutating func replace(by text: String) {
        self.before = Array(text)
        self.after = []
    }

    /// The part of the line that fits, with the cursor in it.
    ///
    /// - Parameter columns: for the line; at least 2 are used.
    func visible(columns: Int) -> (text: String, cursor: Int) {
        let columns = max(columns, 2)
        var cursor = 0
        var start = self.before.count
        // The cursor needs a column of its own.
        while start > 0, cursor + TerminalText.width(self.before[start - 1]) < columns {
            start -= 1
            cursor += TerminalText.width(self.before[start])
        }
        var text = String(self.before[start...])
        var width = cursor
        for character in self.after {
            width += TerminalText.width(character)
            if width > columns { break }
            text.append(character)
        }
        return (text, cursor)
    }
}
