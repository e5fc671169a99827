import CrossServerRESP
import NIOCore
import Testing

@testable import CrossServerRedis

@Suite struct RedisHandshakeTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var step: RedisHandshake.Step
        var reply: RESPValue
        /// Nil: the connection can be used.
        var failure: RedisFailure.Kind?
        var warnings = 0
        var testDescription: String { "\(self.step.command) \(self.reply)" }
    }

    private static func error(_ message: String) -> RESPValue { .simpleError(message) }
    private static func bulk(_ text: String) -> RESPValue { .bulkString(ByteBuffer(string: text)) }
    private static let authenticate = RedisHandshake.Step.authenticate(user: nil, password: "x")

    @Test(arguments: [
        Case(step: authenticate, reply: .simpleString("OK")),
        Case(step: authenticate, reply: error("WRONGPASS invalid username-password pair"), failure: .authentication),
        Case(step: authenticate, reply: error("ERR invalid password"), failure: .authentication),
        Case(
            step: authenticate,
            reply: error("ERR AUTH <password> called without any password configured for the default user. Sure?"),
            warnings: 1
        ),
        Case(step: authenticate, reply: error("ERR Client sent AUTH, but no password is set"), warnings: 1),
        Case(step: authenticate, reply: error("ERR wrong number of arguments for 'auth'"), failure: .authentication),
        Case(step: .ping, reply: error("NOAUTH Authentication required."), failure: .authentication),
        Case(step: .ping, reply: error("LOADING Redis is loading the dataset in memory"), failure: .notReady),
        Case(step: .ping, reply: error("MASTERDOWN Link with MASTER is down"), failure: .notReady),
        Case(step: .ping, reply: error("DENIED Redis is running in protected mode"), failure: .refused),
        Case(step: .ping, reply: error("ERR max number of clients reached"), failure: .refused),
        Case(step: .ping, reply: error("NOPERM this user has no permissions to run the 'ping' command"), warnings: 1),
        Case(step: .ping, reply: .simpleString("PONG")),
        Case(step: .select(16), reply: error("ERR DB index is out of range"), failure: .refused),
        Case(step: .select(1), reply: .simpleString("OK")),
        Case(step: .setName("n"), reply: error("ERR unknown command 'CLIENT'"), warnings: 1),
        Case(step: .requireMaster, reply: .array([bulk("master"), .integer(0), .array([])])),
        Case(step: .requireMaster, reply: .array([bulk("slave"), bulk("h"), .integer(1)]), failure: .wrongRole),
        Case(step: .requireMaster, reply: .array([bulk("sentinel"), .array([])]), failure: .wrongRole),
        Case(step: .requireMaster, reply: error("NOPERM"), warnings: 1),
        Case(step: .sentinelMaster("m"), reply: .null, failure: .discovery),
        Case(step: .sentinelMaster("m"), reply: .array([bulk("h"), bulk("x")]), failure: .discovery),
        Case(step: .sentinelMaster("m"), reply: .array([bulk("h"), bulk("99999")]), failure: .discovery),
        Case(step: .sentinelMaster("m"), reply: error("IDONTKNOW"), failure: .discovery),
        Case(step: .clusterNodes, reply: error("ERR This instance has cluster support disabled"), warnings: 1),
    ])
    func replies(_ test: Case) {
        var handshake = RedisHandshake(steps: [test.step])
        switch handshake.received(test.reply) {
        case .waiting: Issue.record("more is wanted")
        case .ready(let facts):
            #expect(test.failure == nil)
            #expect(facts.warnings.count == test.warnings)
            #expect(facts.warnings.allSatisfy { !$0.contains("x\"") })
        case .failed(let failure): #expect(failure.kind == test.failure)
        }
    }

    @Test func allStepsHaveToBeAnswered() {
        var handshake = RedisHandshake(steps: [Self.authenticate, .select(1), .sentinelMaster("m"), .ping])
        #expect(handshake.received(.simpleString("OK")) == .waiting)
        #expect(handshake.received(.simpleString("OK")) == .waiting)
        #expect(handshake.received(.array([Self.bulk("::1"), Self.bulk("7")])) == .waiting)
        var facts = RedisHandshake.Facts()
        facts.master = .tcp(host: "::1", port: 7)
        #expect(handshake.received(.simpleString("PONG")) == .ready(facts))
        guard case .failed(let failure) = handshake.received(.simpleString("PONG")) else {
            Issue.record("a reply to nothing was taken")
            return
        }
        #expect(failure.kind == .protocolViolation)
    }

    @Test func clusterMembers() {
        let text = """
            07c37df 127.0.0.1:30004@31004,host-4 slave e7d1eec 0 1426238317239 4 connected
            67ed2db 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
            292f8b3 127.0.0.1:30003@31003 master,fail? - 0 1426238318243 3 disconnected 10923-16383
            6ec2392 127.0.0.1:30005@31005 slave,fail 67ed2db 0 1426238316232 5 connected
            824fe11 :0@0 master,noaddr - 0 1426238317741 6 disconnected
            e7d1eec ::1:30001@31001 myself,master - 0 0 1 connected 0-5460
            short line
            e7d1eec :30001@31001 myself,master - 0 0 1 connected 0-5460

            """
        #expect(
            RedisClusterNodes.members(in: text) == [
                .tcp(host: "127.0.0.1", port: 30_004), .tcp(host: "127.0.0.1", port: 30_002),
                .tcp(host: "::1", port: 30_001),
            ]
        )
        #expect(RedisClusterNodes.members(in: "") == [])
    }
}
