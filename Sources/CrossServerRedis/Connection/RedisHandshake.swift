import CrossServerRESP
import NIOCore

/// What is said on a new connection before it is used. All commands are sent at once; their replies come in order.
///
/// RESP2 is spoken, without HELLO: every Redis since 2.0, Valkey and the proxies in front of them take it.
struct RedisHandshake: Sendable {
    enum Step: Sendable, Equatable {
        case authenticate(user: String?, password: String)
        case select(Int)
        case setName(String)
        /// Answered with an error while the server cannot be used.
        case ping
        /// Refuses what is not a master.
        case requireMaster
        case clusterNodes
        case sentinelMaster(String)

        var command: [String] {
            switch self {
            case .authenticate(let user?, let password): ["AUTH", user, password]
            case .authenticate(nil, let password): ["AUTH", password]
            case .select(let database): ["SELECT", String(database)]
            case .setName(let name): ["CLIENT", "SETNAME", name]
            case .ping: ["PING"]
            case .requireMaster: ["ROLE"]
            case .clusterNodes: ["CLUSTER", "NODES"]
            case .sentinelMaster(let name): ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]
            }
        }
    }

    /// What the server told of itself.
    struct Facts: Sendable, Equatable {
        /// Members of the cluster that can be connected to.
        var members: [RedisAddress] = []
        /// The master that a Sentinel names.
        var master: RedisAddress?
        /// What was refused though the connection can be used without it.
        var warnings: [String] = []
    }

    enum Progress: Sendable, Equatable {
        case waiting
        case ready(Facts)
        case failed(RedisFailure)
    }

    let steps: [Step]
    private var answered = 0
    private var facts = Facts()

    /// - Parameter steps: at least one.
    init(steps: [Step]) {
        self.steps = steps
    }

    mutating func received(_ reply: RESPValue) -> Progress {
        guard self.answered < self.steps.count else {
            return .failed(RedisFailure(.protocolViolation, "a reply to no command"))
        }
        let step = self.steps[self.answered]
        self.answered += 1
        if let error = reply.errorMessage {
            if let failure = Self.failure(of: step, error) { return .failed(failure) }
            self.facts.warnings.append("\(step.command[0]): \(error)")
        } else if let failure = self.note(reply, to: step) {
            return .failed(failure)
        }
        return self.answered == self.steps.count ? .ready(self.facts) : .waiting
    }

    private mutating func note(_ reply: RESPValue, to step: Step) -> RedisFailure? {
        switch step {
        case .authenticate, .select, .setName, .ping:
            return nil
        case .requireMaster:
            return RedisFailure(roleReply: reply)
        case .clusterNodes:
            self.facts.members = RedisClusterNodes.members(in: reply.string ?? "")
            return nil
        case .sentinelMaster(let name):
            guard case .array(let elements) = reply, elements.count == 2, let host = elements[0].string,
                let port = elements[1].string.flatMap({ Int($0) }), 1...65_535 ~= port, !host.isEmpty
            else { return RedisFailure(.discovery, "the Sentinel knows no master named \(name)") }
            self.facts.master = .tcp(host: host, port: port)
            return nil
        }
    }

    /// - Returns: nil when the connection can be used all the same.
    private static func failure(of step: Step, _ error: String) -> RedisFailure? {
        if let failure = RedisFailure(notReady: error) { return failure }
        switch error.prefix(while: { $0 != " " }) {
        case "NOAUTH":
            return RedisFailure(.authentication, "the server wants a password: \(error)")
        case "WRONGPASS":
            return RedisFailure(.authentication, "the server refuses name or password: \(error)")
        case "DENIED":
            return RedisFailure(.refused, "the server refuses the connection: \(error)")
        default:
            break
        }
        if error.contains("max number of clients") { return RedisFailure(.refused, "the server is full: \(error)") }
        switch step {
        case .authenticate:
            // A server without a password, and an old one: `ERR Client sent AUTH, but no password is set`.
            if error.contains("without any password configured") || error.contains("no password is set") { return nil }
            return RedisFailure(.authentication, "the server refuses name or password: \(error)")
        case .select:
            return RedisFailure(.refused, "the database cannot be selected: \(error)")
        case .sentinelMaster:
            return RedisFailure(.discovery, "the Sentinel does not tell the master: \(error)")
        case .setName, .ping, .requireMaster, .clusterNodes:
            return nil
        }
    }
}
