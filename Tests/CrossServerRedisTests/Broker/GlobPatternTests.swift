import NIOCore
import Testing

@testable import CrossServerRedis

@Suite struct GlobPatternTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("a", "", false), ("a", "a", true), ("a", "b", false), ("a", "ab", false),
        ("*", "", true), ("*", "abc", true), ("**", "a", true), ("a*", "a", true), ("a*", "abc", true),
        ("a*", "ba", false), ("*c", "abc", true), ("*c", "abcd", false), ("a*c", "abbc", true),
        ("a*b*c", "axbxc", true),
        ("a*b*c", "axcxb", false), ("*ab*ab", "ababab", true), ("news.*", "news.", true), ("news.*", "newsx", false),
        ("?", "a", true), ("?", "", false), ("a?c", "abc", true), ("a?c", "ac", false), ("*?", "", false),
        ("[abc]", "b", true), ("[abc]", "d", false), ("[^abc]", "d", true), ("[^abc]", "b", false),
        ("[a-c]x", "bx", true), ("[c-a]x", "bx", true), ("[a-c]x", "dx", false), ("[^a-c]", "b", false),
        ("[]", "a", false), ("[^]", "a", true), ("[]a]", "]", false), ("[\\]]", "]", true), ("[a\\-c]", "-", true),
        ("[a\\-c]", "b", false), ("[ab", "b", true), ("[ab", "c", false), ("[a-", "-", true), ("[", "[", false),
        ("\\*", "*", true), ("\\*", "a", false), ("\\a", "a", true), ("a\\", "a\\", true), ("\\?x", "?x", true),
        ("h[ae]llo*[0-9]", "hello world 7", true), ("h[ae]llo*[0-9]", "hillo world 7", false),
    ])
    func matches(pattern: String, text: String, isMatch: Bool) {
        #expect(GlobPattern.matches(ByteBuffer(string: pattern), ByteBuffer(string: text)) == isMatch)
    }

    /// Trying all ways would take longer than the universe has.
    @Test(.timeLimit(.minutes(3)))
    func manyStarsTakeLittleTime() {
        let pattern = ByteBuffer(string: String(repeating: "a*", count: 200) + "b")
        #expect(!GlobPattern.matches(pattern, ByteBuffer(string: String(repeating: "a", count: 1_000))))
    }
}
