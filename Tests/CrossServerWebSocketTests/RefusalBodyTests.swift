import HTTPTypes
import NIOCore
import Testing

@testable import CrossServerWebSocket

@Suite struct RefusalBodyTests {
    private static let chunked: HTTPFields = [.transferEncodingField: "chunked", .contentLength: "3"]
    private static let long = String(repeating: "x", count: RefusalBody.maximumSize)

    /// The body as it comes, what is made of it, and whether more is awaited.
    @Test(
        arguments: [
            (Self.chunked, "3\r\nbad\r\n6\r\n token\r\n0\r\n\r\n", "bad token", true),
            ([.transferEncodingField: "gzip, Chunked"], "A;a=\"b\"\r\n0123456789\r\n0\r\nX: y\r\n", "0123456789", true),
            (Self.chunked, "0\r\n\r\n", "", true),
            // What does not come, or is none.
            (Self.chunked, "", "", false), (Self.chunked, "5\r\nab", "ab", false),
            (Self.chunked, "2\r\nab", "ab", false),
            (Self.chunked, "3\r\nbad\r\nnonsense\r\n", "bad", true), (Self.chunked, "-1\r\nab", "", true),
            (Self.chunked, "FFFFFFFFFFFFFFFFFF\r\nab", "", true), (Self.chunked, "7FFFFFFFFFFFFFFF\r\nab", "ab", false),
            // The bounds.
            (Self.chunked, "800\r\n\(Self.long)x", Self.long, true), (Self.chunked, Self.long, "", true),
            ([.contentLength: "9000"], Self.long + "x", Self.long, true),
            ([.contentLength: "2"], "nope", "no", true), ([.contentLength: "6"], "nope", "nope", false),
            ([.contentLength: "-1"], "nope", "", true),
        ] as [(HTTPFields, String, String, Bool)]
    )
    func body(fields: HTTPFields, bytes: String, text: String, isComplete: Bool) {
        for size in [1, 2, 7, bytes.utf8.count] where size > 0 {
            var body = RefusalBody(fields, rest: ByteBuffer())
            for piece in Array(bytes.utf8).pieces(of: size) { body.read(ByteBuffer(bytes: piece)) }
            #expect(body.text == text, "in pieces of \(size)")
            #expect(body.isComplete == isComplete, "in pieces of \(size)")
        }
    }

    @Test func aBodyOfUnknownLengthIsWhatCameWithTheHead() {
        var body = RefusalBody([:], rest: ByteBuffer(string: "busy"))
        #expect(body.isComplete)
        body.read(ByteBuffer(string: "!"))
        #expect(body.text == "busy")
    }
}
