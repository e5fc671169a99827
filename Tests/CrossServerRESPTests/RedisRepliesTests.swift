import CrossServerRESP
import NIOCore
import Testing

/// What a redis-server 7.0.15 was seen to send.
@Suite struct RedisRepliesTests {
    struct Reply: CustomTestStringConvertible {
        var command: String
        var bytes: String
        var values: [RESPValue]
        var testDescription: String { self.command }

        init(_ command: String, _ bytes: String, _ values: RESPValue...) {
            self.command = command
            self.bytes = bytes
            self.values = values
        }
    }

    static let hello: [(String, RESPValue)] = [
        ("server", bulk("redis")), ("version", bulk("7.0.15")), ("proto", .integer(3)), ("id", .integer(4)),
        ("mode", bulk("standalone")), ("role", bulk("master")), ("modules", .array([])),
    ]

    static let replies: [Reply] = [
        .init(
            "HELLO 3",
            """
            %7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:4\r\n\
            $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n
            """,
            .map(Self.hello.map { .init(key: bulk($0.0), value: $0.1) })
        ),
        .init(
            "HELLO 2",
            """
            *14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:4\r\n\
            $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n
            """,
            .array(Self.hello.flatMap { [bulk($0.0), $0.1] })
        ),
        .init(
            "NOSUCH a",
            "-ERR unknown command 'NOSUCH', with args beginning with: 'a' \r\n",
            .simpleError("ERR unknown command 'NOSUCH', with args beginning with: 'a' ")
        ),
        .init(
            "CLIENT TRACKINGINFO",
            "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
            .map([
                .init(key: bulk("flags"), value: .set([bulk("off")])),
                .init(key: bulk("redirect"), value: .integer(-1)),
                .init(key: bulk("prefixes"), value: .array([])),
            ])
        ),
        .init(
            "EVAL",
            "*3\r\n:1\r\n*2\r\n:2\r\n*2\r\n:3\r\n$1\r\nx\r\n$-1\r\n",
            .array([.integer(1), .array([.integer(2), .array([.integer(3), bulk("x")])]), .null])
        ),
        .init("BLPOP that times out", "*-1\r\n", .null),
        .init(
            "INFO keyspace, RESP3",
            "=48\r\ntxt:# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n\r\n",
            .verbatimString(
                format: "txt",
                ByteBuffer(string: "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n")
            )
        ),
        .init(
            "SUBSCRIBE a b",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
            .array([bulk("subscribe"), bulk("a"), .integer(1)]),
            .array([bulk("subscribe"), bulk("b"), .integer(2)])
        ),
        .init("PING of a subscriber", "*2\r\n$4\r\npong\r\n$0\r\n\r\n", .array([bulk("pong"), bulk("")])),
        .init(
            "UNSUBSCRIBE from nothing",
            "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n",
            .array([bulk("unsubscribe"), .null, .integer(0)]),
            .push([bulk("unsubscribe"), .null, .integer(0)])
        ),
        .init(
            "PUBLISH a x, of a RESP3 subscriber",
            ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n",
            .push([bulk("message"), bulk("a"), bulk("x")]),
            .integer(1)
        ),
        .init("DEBUG PROTOCOL double", ",3.141\r\n", .double(3.141)),
        .init("DEBUG PROTOCOL set", "~3\r\n:0\r\n:1\r\n:2\r\n", .set([.integer(0), .integer(1), .integer(2)])),
        .init(
            "DEBUG PROTOCOL map",
            "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
            .map([
                .init(key: .integer(0), value: .boolean(false)), .init(key: .integer(1), value: .boolean(true)),
                .init(key: .integer(2), value: .boolean(false)),
            ])
        ),
        .init(
            "DEBUG PROTOCOL attrib",
            """
            |1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n\
            $39\r\nSome real reply following the attribute\r\n
            """,
            bulk("Some real reply following the attribute")
        ),
        .init(
            "DEBUG PROTOCOL push",
            ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n",
            .push([bulk("server-cpu-usage"), .integer(42)]),
            bulk("Some real reply following the push reply")
        ),
        .init(
            "DEBUG PROTOCOL verbatim",
            "=29\r\ntxt:This is a verbatim\nstring\r\n",
            .verbatimString(format: "txt", ByteBuffer(string: "This is a verbatim\nstring"))
        ),
        .init(
            "DEBUG PROTOCOL bignum",
            "(1234567999999999999999999999999999999\r\n",
            .bigNumber("1234567999999999999999999999999999999")
        ),
    ]

    @Test(arguments: Self.replies)
    func reply(reply: Reply) {
        for pieces in bytes(reply.bytes).splits {
            #expect(parse(pieces) == Parsed(values: reply.values))
        }
    }
}
