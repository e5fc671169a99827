import CrossServerWire
import Testing

@Suite struct LogTextTests {
    @Test(arguments: [
        ("plain é日", "plain é日"), ("", ""), ("\u{1B}[2J", "\\u{1b}[2J"), ("a\r\nb", "a\\u{d}\\u{a}b"),
        ("a\u{0}b", "a\\u{0}b"), ("\u{7F}", "\\u{7f}"), ("\u{85}x", "\\u{85}x"), ("\u{9B}x", "\\u{9b}x"),
        ("\u{AD}", "\\u{ad}"), ("\u{61C}", "\\u{61c}"), ("\u{200B}", "\\u{200b}"), ("\u{200F}", "\\u{200f}"),
        ("\u{2028}", "\\u{2028}"), ("\u{2029}", "\\u{2029}"), ("\u{202E}x", "\\u{202e}x"), ("\u{2066}", "\\u{2066}"),
        ("\u{FEFF}", "\\u{feff}"), ("\u{E0041}", "\\u{e0041}"),
    ])
    func escapesWhatChangesTheLine(text: String, shown: String) {
        #expect(LogText.escaped(text) == shown)
        #expect("\(LogText(text))" == shown)
    }

    @Test(arguments: [("x", 1_025), ("é", 1_500), ("\n", 2_000)])
    func isBounded(character: String, count: Int) {
        let shown = LogText(String(repeating: character, count: count)).description
        let part = String(repeating: character == "\n" ? "\\u{a}" : character, count: LogText.maximumLength)
        #expect(shown == "\(part)… (\(count - LogText.maximumLength) characters more)")
    }

    @Test func showsAnyValue() {
        struct Failure: Error, CustomStringConvertible { let description = "one\ntwo" }
        #expect("\(LogText(Failure()))" == "one\\u{a}two")
        #expect("\(LogText(42))" == "42")
    }

    @Test(
        arguments: [
            ("plain é日", nil), ("a\nb", "\n"), ("\u{7F}", "\u{7F}"), ("é\u{9B}", "\u{9B}"), ("a\u{0}", "\0"),
            ("👨‍👩‍👧\u{202E}", nil),
        ] as [(String, Unicode.Scalar?)]
    )
    func findsControlCharacters(text: String, found: Unicode.Scalar?) {
        #expect(text.firstControlCharacter == found)
    }
}
