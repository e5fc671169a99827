import CrossServerClient
import Testing

@testable import CrossServerCommand

@Suite struct KeyParserTests {
    @Test(
        arguments: [
            ("a", [.text("a")]), ("é日🙂", [.text("é日🙂")]), ("\r", [.enter]), ("\n", [.enter]),
            ("\u{7F}\u{8}", [.backspace, .backspace]),
            ("\u{1}\u{5}\u{15}", [.control("a"), .control("e"), .control("u")]),
            ("\u{1B}[A\u{1B}[B\u{1B}OC\u{1B}OD", [.up, .down, .right, .left]),
            ("\u{1B}[H\u{1B}[F\u{1B}[1~\u{1B}[4~\u{1B}[3~", [.home, .end, .home, .end, .delete]),
            ("\u{1B}[200~x\u{1B}xy", [.text("xy")]),
        ] as [(String, [Key])]
    )
    func keys(bytes: String, keys: [Key]) {
        var parser = KeyParser()
        #expect(parser.parse(bytes.utf8) == keys)
        // The same in the smallest pieces.
        var joined: [Key] = []
        for byte in bytes.utf8 {
            for key in parser.parse([byte]) {
                if case .text(let text) = key, case .text(let before)? = joined.last {
                    joined[joined.count - 1] = .text(before + text)
                } else {
                    joined.append(key)
                }
            }
        }
        #expect(joined == keys)
    }

    @Test func bytesThatAreNoTextAreDropped() {
        var parser = KeyParser()
        #expect(parser.parse([0xFF, 0x80, 0xC3, 0x61, 0xED, 0xA0, 0x80, 0x62]) == [.text("ab")])
    }

    @Test func anEndlessSequenceIsBounded() {
        var parser = KeyParser()
        let keys = parser.parse(Array("\u{1B}[".utf8) + [UInt8](repeating: 0x31, count: 10_000))
        #expect(keys.count == 1)
    }
}

@Suite struct LineEditorTests {
    private static func editor(_ keys: [Key]) -> LineEditor {
        var editor = LineEditor()
        for key in keys { _ = editor.handle(key) }
        return editor
    }

    @Test(
        arguments: [
            ([.text("abc")], "abc", ""), ([.text("abc"), .left], "ab", "c"),
            ([.text("abc"), .home, .text("x")], "x", "abc"),
            ([.text("abc"), .backspace], "ab", ""), ([.backspace], "", ""), ([.text("abc"), .home, .delete], "", "bc"),
            ([.text("aé日🙂"), .backspace, .backspace], "aé", ""), ([.text("abc"), .left, .left, .end], "abc", ""),
            ([.text("abc"), .left, .control("u")], "", "c"), ([.text("abc"), .left, .control("k")], "ab", ""),
            ([.text("say hello  "), .control("w")], "say ", ""), ([.text("abc"), .control("a"), .right], "a", "bc"),
            ([.text("abc"), .control("c")], "", ""), ([.text("abc"), .home, .control("d")], "", "bc"),
            ([.text("e"), .text("\u{301}"), .text("x")], "e\u{301}x", ""),
            ([.text("e\u{301}"), .left, .right], "e\u{301}", ""),
            ([.left, .right, .up, .down, .delete], "", ""), ([.control("z"), .text("a")], "a", ""),
        ] as [([Key], String, String)]
    )
    func edits(keys: [Key], before: String, after: String) {
        let editor = Self.editor(keys)
        #expect(String(editor.before) == before)
        #expect(String(editor.after) == after)
    }

    @Test func leavesOnAnEmptyLineOnly() {
        var editor = Self.editor([.text("a")])
        #expect(editor.handle(.control("c")) == .changed)
        #expect(editor.handle(.control("c")) == .quit)
        #expect(editor.handle(.control("d")) == .quit)
    }

    @Test func walksThroughTheHistory() {
        var editor = Self.editor([
            .text("one"), .enter, .text("two"), .enter, .text("two"), .enter, .text(" "), .enter, .text("draft"),
        ])
        #expect(editor.history == ["one", "two"])
        _ = editor.handle(.up)
        #expect(editor.text == "two")
        _ = editor.handle(.up)
        #expect(editor.text == "one")
        #expect(editor.handle(.up) == .none)
        _ = editor.handle(.down)
        _ = editor.handle(.down)
        #expect(editor.text == "draft")
        #expect(editor.handle(.down) == .none)
        _ = editor.handle(.up)
        #expect(editor.handle(.enter) == .line("two"))
        #expect(editor.text == "")
    }

    @Test func isBounded() {
        var editor = LineEditor()
        _ = editor.handle(.text(String(repeating: "x", count: 2 * LineEditor.maximumLength)))
        #expect(editor.text.count == LineEditor.maximumLength)
        for number in 0...LineEditor.maximumHistory {
            _ = editor.handle(.control("u"))
            _ = editor.handle(.text("\(number)"))
            _ = editor.handle(.enter)
        }
        #expect(editor.history.count == LineEditor.maximumHistory)
        #expect(editor.history.first == "1")
    }

    @Test(arguments: [
        ("abc", 0, 10, "abc", 3), ("abcdefghij", 0, 5, "ghij", 4), ("abcdefghij", 10, 5, "abcde", 0),
        ("日本語", 0, 10, "日本語", 6), ("日本語", 0, 5, "本語", 4), ("日本語", 3, 3, "日", 0), ("日本語", 1, 4, "本語", 2),
        ("日本語", 1, 3, "本", 2),
    ])
    func showsThePartAroundTheCursor(text: String, left: Int, columns: Int, visible: String, cursor: Int) {
        let editor = Self.editor([.text(text)] + Array(repeating: .left, count: left))
        let result = editor.visible(columns: columns)
        #expect(result.text == visible)
        #expect(result.cursor == cursor)
    }
}

@Suite struct TerminalTextTests {
    @Test(arguments: [
        ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本", 4), ("한국", 4), ("🙂", 2), ("👨‍👩‍👧", 2), ("ｆ", 2), ("", 0), ("ß→", 2),
    ])
    func width(text: String, columns: Int) {
        #expect(TerminalText.width(text) == columns)
    }

    @Test(arguments: [
        (#"{"é日": "a\n"}"#, #"{"é日": "a\n"}"#), ("[1,\r\n\t2]", "[1,   2]"), ("\"\u{9B}x\"", #""\u009bx""#),
        ("\"\u{202E}x\"", #""\u202ex""#), ("\"\u{7F}\"", #""\u007f""#), ("\"\u{E0041}\"", #""\udb40\udc41""#),
    ])
    func jsonHasOneLineAndNothingThatATerminalObeys(json: String, line: String) throws {
        #expect(TerminalText.line(json: json) == line)
        #expect(try Payload(json: line) == Payload(json: line))
    }
}
