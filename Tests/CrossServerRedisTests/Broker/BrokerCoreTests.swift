import CrossServerBus
import CrossServerRESP
import Logging
import NIOCore
import Testing

@testable import CrossServerRedis

/// Commands and their replies, without sockets. The replies that Redis has as well were seen of a redis-server 7.0.15.
@Suite struct BrokerCoreTests {
    final class Bench {
        let core: BrokerCore

        init(_ change: (inout EmbeddedBroker.Configuration) -> Void = { _ in }) {
            var configuration = EmbeddedBroker.Configuration()
            change(&configuration)
            self.core = BrokerCore(
                configuration: configuration,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            )
        }

        func connect(isLocal: Bool = true) -> BrokerClient {
            self.core.connect(address: "127.0.0.1:5000", localAddress: "127.0.0.1:6379", isLocal: isLocal)
        }

        /// - Parameter line: as a person types it.
        /// - Returns: all that the client was sent since the last time.
        @discardableResult
        func run(_ client: BrokerClient, _ line: String) -> String {
            var parser = RESPCommandParser()
            var buffer = ByteBuffer(string: line + "\n")
            do {
                while let arguments = try parser.next(from: &buffer) { self.core.execute(arguments, for: client) }
            } catch {
                self.core.refuse(client, error)
            }
            return self.output(client)
        }

        func output(_ client: BrokerClient) -> String {
            var text = ""
            while let buffer = client.output.popFirst() { text += String(buffer: buffer) }
            client.output.reclaim()
            return text
        }
    }

    static let notForSubscribers =
        "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"

    @Test(
        arguments: [
            ("PING", "+PONG\r\n"),
            ("ping hi", "$2\r\nhi\r\n"),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
            ("ECHO \"a b\"", "$3\r\na b\r\n"),
            ("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("SELECT 16", "-ERR DB index is out of range\r\n"),
            ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
            ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"),
            ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"),
            ("\"NO\\r\\n\" a", "-ERR unknown command 'NO  ', with args beginning with: 'a' \r\n"),
            ("GET x", "-ERR unknown command 'GET', with args beginning with: 'x' \r\n"),
            ("PUBLISH a b", ":0\r\n"),
            ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command\r\n"),
            ("SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command\r\n"),
            ("SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
            (
                "SUBSCRIBE a a\nPSUBSCRIBE n*",
                "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                    + "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:2\r\n"
            ),
            ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
            ("PUNSUBSCRIBE x", "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"),
            ("HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
            ("AUTH a b c", "-ERR syntax error\r\n"),
            ("AUTH default any", "+OK\r\n"),
            ("AUTH other any", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
            ("CLIENT ID", ":1\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
            ("CLIENT SETNAME me\nCLIENT GETNAME", "+OK\r\n$2\r\nme\r\n"),
            ("CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
            ("CLIENT SETINFO LIB-NAME redis-py\nCLIENT SETINFO lib-ver 1", "+OK\r\n+OK\r\n"),
            ("CLIENT SETINFO x 1", "-ERR Unrecognized option 'x'\r\n"),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command\r\n"),
            ("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n"),
            ("CLIENT NO-EVICT on", "+OK\r\n"),
            ("CLIENT KILL 127.0.0.1:1", "-ERR No such client\r\n"),
            ("CLIENT KILL ID 99", ":0\r\n"),
            ("CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'\r\n"),
            ("CLIENT KILL NOSUCH x", "-ERR syntax error\r\n"),
            ("CONFIG GET save", "*0\r\n"),
            ("COMMAND", "*0\r\n"),
            ("COMMAND DOCS", "*0\r\n"),
            ("INFO keyspace", "$12\r\n# Keyspace\r\n\r\n"),
            ("PUBSUB NUMPAT", ":0\r\n"),
            ("PUBSUB NUMSUB a b", "*4\r\n$1\r\na\r\n:0\r\n$1\r\nb\r\n:0\r\n"),
            ("PUBSUB CHANNELS", "*0\r\n"),
            ("PUBSUB NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.\r\n"),
            ("SUBSCRIBE a\nPING", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
            (
                "SUBSCRIBE a\nPUBLISH a b",
                "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n-ERR Can't execute 'publish': \(Self.notForSubscribers)"
            ),
            (
                "PSUBSCRIBE a\nCLIENT SETNAME b",
                "*3\r\n$10\r\npsubscribe\r\n$1\r\na\r\n:1\r\n-ERR Can't execute 'client|setname': \(Self.notForSubscribers)"
            ),
            (
                "SUBSCRIBE a\nUNSUBSCRIBE\nECHO x",
                "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n$1\r\nx\r\n"
            ),
            ("SUBSCRIBE a\nRESET\nECHO x", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+RESET\r\n$1\r\nx\r\n"),
            ("QUIT\nPING", "+OK\r\n"),
        ] as [(String, String)]
    )
    func replies(lines: String, expected: String) {
        let bench = Bench()
        #expect(bench.run(bench.connect(), lines) == expected)
    }

    @Test func helloChangesTheProtocol() {
        let bench = Bench()
        let client = bench.connect()
        let greeting = bench.run(client, "HELLO 3 SETNAME me")
        #expect(greeting.hasPrefix("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"))
        #expect(greeting.contains("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"))
        #expect(bench.run(client, "CLIENT GETNAME") == "$2\r\nme\r\n")
        #expect(bench.run(client, "SUBSCRIBE a") == ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        // The message comes before the reply of its publisher.
        #expect(bench.run(client, "PUBLISH a x") == ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n")
        #expect(bench.run(client, "PING") == "+PONG\r\n")
        #expect(bench.run(client, "CONFIG GET x") == "%0\r\n")
        #expect(bench.run(client, "UNSUBSCRIBE b") == ">3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n")
        #expect(bench.run(client, "HELLO").hasPrefix("%7\r\n"))
        #expect(bench.run(client, "HELLO 2").hasPrefix("*14\r\n"))
    }

    @Test func messagesReachChannelsAndPatternsInBothVersions() {
        let bench = Bench()
        let (old, new, both, other, publisher) = (
            bench.connect(), bench.connect(), bench.connect(), bench.connect(), bench.connect()
        )
        bench.run(old, "SUBSCRIBE news")
        bench.run(new, "HELLO 3\nPSUBSCRIBE n*")
        bench.run(both, "SUBSCRIBE news\nPSUBSCRIBE n*\nPSUBSCRIBE *s")
        bench.run(other, "SUBSCRIBE new\nPSUBSCRIBE m*")
        #expect(bench.run(publisher, "PUBSUB NUMSUB news new") == "*4\r\n$4\r\nnews\r\n:2\r\n$3\r\nnew\r\n:1\r\n")
        #expect(bench.run(publisher, "PUBSUB NUMPAT") == ":3\r\n")
        #expect(bench.run(publisher, "PUBSUB CHANNELS *ws") == "*1\r\n$4\r\nnews\r\n")
        #expect(bench.run(publisher, "PUBLISH news hi") == ":5\r\n")
        let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        let patternMessage = "$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        #expect(bench.output(old) == message)
        #expect(bench.output(new) == ">4\r\n" + patternMessage)
        let three = bench.output(both)
        #expect(three.hasPrefix(message))
        #expect(three.contains("*4\r\n" + patternMessage))
        #expect(three.contains("*4\r\n" + patternMessage.replacing("n*", with: "*s")))
        #expect(bench.output(other) == "")
        bench.core.disconnect(both)
        #expect(bench.run(publisher, "PUBLISH news hi") == ":2\r\n")
        bench.run(old, "UNSUBSCRIBE")
        bench.run(new, "PUNSUBSCRIBE n*")
        #expect(bench.run(publisher, "PUBLISH news hi") == ":0\r\n")
        #expect(bench.run(publisher, "PUBSUB CHANNELS") == "*1\r\n$3\r\nnew\r\n")
    }

    @Test func largeMessagesAreShared() {
        let bench = Bench()
        let (first, second, publisher) = (bench.connect(), bench.connect(), bench.connect())
        bench.run(first, "SUBSCRIBE a")
        bench.run(second, "SUBSCRIBE a")
        bench.run(publisher, "PUBLISH a " + String(repeating: "x", count: 10_000))
        let (sent, same) = (first.output.popFirst(), second.output.popFirst())
        #expect(sent?.readableBytes == "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$10000\r\n\r\n".utf8.count + 10_000)
        let addresses = [sent, same].map { $0?.withUnsafeReadableBytes { $0.baseAddress } }
        #expect(addresses[0] == addresses[1])
    }

    @Test func password() {
        let bench = Bench { $0.password = "secret" }
        let client = bench.connect()
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        #expect(bench.run(client, "PING") == "-NOAUTH Authentication required.\r\n")
        #expect(bench.run(client, "PUBLISH a b") == "-NOAUTH Authentication required.\r\n")
        #expect(bench.run(client, "HELLO 3").hasPrefix("-NOAUTH HELLO must be called with the client already"))
        #expect(bench.run(client, "HELLO 3 AUTH default no") == wrong)
        #expect(client.version == .resp2)
        for password in ["no", "secre", "secret1", "''"] {
            #expect(bench.run(client, "AUTH \(password)") == wrong)
        }
        #expect(bench.run(client, "AUTH other secret") == wrong)
        #expect(bench.core.parserLimits(for: client).maximumBulkLength == 16_384)
        #expect(bench.run(client, "AUTH secret") == "+OK\r\n")
        #expect(bench.core.parserLimits(for: client).maximumBulkLength == 16 << 20)
        #expect(bench.run(client, "PING") == "+PONG\r\n")
        #expect(bench.run(client, "RESET") == "+RESET\r\n")
        #expect(bench.run(client, "PING") == "-NOAUTH Authentication required.\r\n")
        #expect(bench.run(client, "HELLO 3 AUTH default secret").hasPrefix("%7\r\n"))
        bench.core.refuse(client, .limitExceeded("invalid multibulk length"))
        #expect(bench.output(client) == "-ERR Protocol error: invalid multibulk length\r\n")
        let stranger = bench.connect()
        bench.core.refuse(stranger, .limitExceeded("invalid multibulk length"))
        #expect(bench.output(stranger) == "-ERR Protocol error: unauthenticated multibulk length\r\n")
        #expect(stranger.closing == .afterReplies)
    }

    @Test func userName() {
        let bench = Bench {
            $0.username = "app"
            $0.password = "secret"
        }
        let client = bench.connect()
        #expect(bench.run(client, "AUTH secret").hasPrefix("-WRONGPASS"))
        #expect(bench.run(client, "AUTH app secret") == "+OK\r\n")
    }

    @Test func authenticationWithoutAPassword() {
        let bench = Bench()
        #expect(bench.run(bench.connect(), "AUTH x").hasPrefix("-ERR AUTH <password> called without any password"))
    }

    @Test func clientsAreListedAndKilled() {
        let bench = Bench()
        let (caller, subscriber, other) = (bench.connect(), bench.connect(), bench.connect())
        bench.run(subscriber, "CLIENT SETNAME sub\nPSUBSCRIBE a*\nSUBSCRIBE a")
        let list = bench.run(caller, "CLIENT LIST")
        #expect(list.split(separator: "\n").count == 4)
        #expect(list.contains("id=2 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=2 name=sub "))
        #expect(list.contains(" flags=P db=0 sub=1 psub=1 "))
        #expect(bench.run(caller, "CLIENT LIST TYPE pubsub").contains("id=2 "))
        #expect(!bench.run(caller, "CLIENT LIST TYPE normal").contains("id=2 "))
        #expect(bench.run(caller, "CLIENT LIST ID 3").contains("id=3 "))
        #expect(bench.run(caller, "CLIENT INFO").contains("id=1 "))
        #expect(bench.run(caller, "CLIENT KILL TYPE pubsub") == ":1\r\n")
        #expect(subscriber.closing == .atOnce)
        bench.core.disconnect(subscriber)
        #expect(bench.run(caller, "CLIENT KILL TYPE pubsub") == ":0\r\n")
        #expect(bench.run(caller, "CLIENT KILL ID 3") == ":1\r\n")
        #expect(other.closing == .atOnce)
        bench.core.disconnect(other)
        #expect(bench.run(caller, "CLIENT KILL TYPE normal SKIPME yes") == ":0\r\n")
        #expect(bench.run(caller, "CLIENT KILL TYPE normal SKIPME no\nPING") == ":1\r\n")
        #expect(caller.closing == .afterReplies)
    }

    @Test func slowClientIsClosed() {
        let bench = Bench {
            $0.limits.maximumMessageSize = 10_000
            $0.limits.maximumPendingBytes = 20_000
        }
        let (subscriber, publisher) = (bench.connect(), bench.connect())
        bench.run(subscriber, "SUBSCRIBE a")
        let command = "PUBLISH a " + String(repeating: "x", count: 9_000)
        #expect(bench.run(publisher, command) == ":1\r\n")
        #expect(bench.run(publisher, command) == ":1\r\n")
        #expect(subscriber.closing == .no)
        #expect(bench.run(publisher, command) == ":1\r\n")
        #expect(subscriber.closing == .atOnce)
        #expect(subscriber.output.isEmpty)
        #expect(bench.core.takeChanged().contains { $0 === subscriber })
    }

    @Test func limits() {
        let bench = Bench {
            $0.limits.maximumChannels = 2
            $0.limits.maximumPatterns = 1
            $0.limits.maximumChannelLength = 3
            $0.limits.maximumConnections = 1
        }
        let client = bench.connect()
        #expect(bench.run(client, "SUBSCRIBE a b c") == "-ERR more than 2 channels\r\n")
        #expect(bench.run(client, "PSUBSCRIBE a b") == "-ERR more than 1 patterns\r\n")
        #expect(bench.run(client, "SUBSCRIBE abcd") == "-ERR name is longer than 3 bytes\r\n")
        #expect(bench.run(client, "PUBLISH abcd x") == "-ERR name is longer than 3 bytes\r\n")
        #expect(bench.run(client, "SUBSCRIBE abc b").hasSuffix(":2\r\n"))
        let second = bench.connect()
        #expect(bench.output(second) == "-ERR max number of clients reached\r\n")
        #expect(second.closing == .afterReplies)
    }

    @Test func strangersNeedAPassword() {
        let open = Bench()
        let stranger = open.connect(isLocal: false)
        #expect(open.output(stranger).hasPrefix("-DENIED "))
        #expect(stranger.closing == .afterReplies)
        let closed = Bench { $0.password = "secret" }
        #expect(closed.run(closed.connect(isLocal: false), "AUTH secret") == "+OK\r\n")
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.1.2.3", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false),
        ("128.0.0.1", false), ("::2", false), ("fe80::1", false),
    ])
    func addressesOfThisMachine(address: String, isLocal: Bool) throws {
        #expect(try SocketAddress(ipAddress: address, port: 1).isOfThisMachine == isLocal)
    }

    @Test func informationForReadyChecks() {
        let bench = Bench()
        let info = bench.run(bench.connect(), "INFO")
        let expected = [
            "redis_version:7.0.0", "loading:0", "role:master", "connected_clients:1", "redis_mode:standalone",
        ]
        for line in expected {
            #expect(info.contains(line + "\r\n"))
        }
        #expect(!bench.run(bench.connect(), "INFO server").contains("role:master"))
    }

    @Test func speakersOfHTTPAreClosed() {
        let bench = Bench()
        for line in ["POST / HTTP/1.1", "Host: a"] {
            let client = bench.connect()
            #expect(bench.run(client, line + "\nPUBLISH a b") == "")
            #expect(client.closing == .atOnce)
        }
    }

    static let invalidConfigurations: [@Sendable (inout EmbeddedBroker.Configuration) -> Void] = [
        { $0.port = nil },
        { $0.port = 65_536 },
        { $0.username = "" },
        { $0.username = "app" },
        { $0.password = "" },
        { $0.limits.maximumPendingBytes = 1 },
        { $0.limits.maximumConnections = 0 },
    ]

    @Test(arguments: Self.invalidConfigurations.indices)
    func invalidConfiguration(index: Int) async {
        var configuration = EmbeddedBroker.Configuration()
        Self.invalidConfigurations[index](&configuration)
        let broker = EmbeddedBroker(configuration: configuration)
        let error = await #expect(throws: BusError.self) { try await broker.run() }
        #expect(error?.code == .invalidConfiguration)
    }
}
