import CrossServerRedis
import Foundation
import NIOSSL
import Testing

/// Behind Sentinel, and as a cluster.
@Suite struct DiscoveryTests {
    @Test(.timeLimit(.minutes(4)))
    func followsAFailover() async throws {
        let master = try await RedisServerProcess.start()
        let replica = try await RedisServerProcess.start(
            ["--replicaof", "127.0.0.1 \(master.port)", "--repl-diskless-sync-delay", "0"]
        )
        try await eventually("the replica is in step") { try replica.cli("ROLE").contains("connected") }
        let sentinels = try await Self.startSentinels(of: master)
        let hosts = sentinels.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
        try await withBus([try RedisNode("redis-sentinel://\(hosts)/mymaster")], connections: .again(4...20)) {
            bus,
            recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("before", on: "c", recorder)
            #expect(try master.subscribers(of: "c") == 1)
            // One Sentinel may go, too.
            sentinels[0].kill()
            master.kill()
            try await eventually("the replica is used") { try replica.subscribers(of: "c") == 1 }
            try await bus.ready(1)
            try await bus.roundTrip("after", on: "c", recorder)
            #expect(try replica.cli("ROLE").hasPrefix("master"))
            // What was the master is a replica now; asked to change places, both live on.
            try await master.start()
            try await eventually("the old master follows") {
                try master.cli("ROLE").hasPrefix("slave") && master.cli("ROLE").contains("connected")
            }
            try await eventually("the Sentinels agree to change places") {
                try sentinels[1].cli("SENTINEL", "FAILOVER", "mymaster").contains("OK")
            }
            try await eventually("the first is used again") { try master.subscribers(of: "c") == 1 }
            try await bus.ready(1)
            try await bus.roundTrip("again", on: "c", recorder)
        }
        for sentinel in sentinels {
            sentinel.kill()
        }
    }

    /// Both kinds of server want a password of their own, and speak nothing but TLS.
    @Test(.timeLimit(.minutes(4)))
    func followsAFailoverWithPasswordsOverTLS() async throws {
        let certificates = try TestCertificates()
        let tls = [
            "--tls-cert-file", certificates.file("server.crt"), "--tls-key-file", certificates.file("server.key"),
            "--tls-ca-cert-file", certificates.file("ca.crt"), "--tls-auth-clients", "no", "--tls-replication", "yes",
        ]
        let cli = ["--tls", "--cacert", certificates.file("ca.crt"), "--no-auth-warning", "-a"]
        let passwords = ["--requirepass", "secret", "--masterauth", "secret", "--repl-diskless-sync-delay", "0"]
        let servers = try (0..<2).map { _ in
            try RedisServerProcess(tls + passwords, cli: cli + ["secret"], isPlain: false)
        }
        try await servers[0].start()
        try await servers[1].start()
        try servers[1].cli("REPLICAOF", "127.0.0.1", "\(servers[0].port)")
        try await eventually("the replica is in step") { try servers[1].cli("ROLE").contains("connected") }
        let sentinels = try await Self.startSentinels(
            of: servers[0],
            configuration: """
                tls-cert-file \(certificates.file("server.crt"))
                tls-key-file \(certificates.file("server.key"))
                tls-ca-cert-file \(certificates.file("ca.crt"))
                tls-auth-clients no
                tls-replication yes
                requirepass guard
                sentinel auth-pass mymaster secret
                """,
            cli: cli + ["guard"],
            isPlain: false
        )
        var node = RedisNode(
            .sentinel(master: "mymaster", sentinels: sentinels.map { .tcp(host: "127.0.0.1", port: $0.port) })
        )
        node.setCredentials(RedisCredentials(password: "secret"))
        node.sentinelCredentials = { RedisCredentials(password: "guard") }
        node.tls = .makeClientConfiguration()
        node.tls?.trustRoots = .file(certificates.file("ca.crt"))
        try await withBus([node], connections: .again(2...20)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("before", on: "c", recorder)
            servers[0].kill()
            try await eventually("the replica is used") { try servers[1].subscribers(of: "c") == 1 }
            try await bus.ready(1)
            try await bus.roundTrip("after", on: "c", recorder)
        }
        for sentinel in sentinels { sentinel.kill() }
    }

    /// A Sentinel may tell of a master that is one no longer.
    @Test(.timeLimit(.minutes(3)))
    func aReplicaIsNotTakenForTheMaster() async throws {
        let master = try await RedisServerProcess.start()
        let sentinels = try await Self.startSentinels(of: master)
        let other = try await RedisServerProcess.start()
        for sentinel in sentinels { sentinel.freeze() }
        try master.cli("REPLICAOF", "127.0.0.1", "\(other.port)")
        sentinels[2].thaw()
        let node = try RedisNode("redis-sentinel://127.0.0.1:\(sentinels[2].port)/mymaster")
        try await withBus([node], connections: .neverAgain) { bus, recorder in
            try await eventually("told") { recorder.reports.contains { $0.error?.contains("not the master") == true } }
            #expect(bus.links.allSatisfy { !$0.canPublish && !$0.canReceive })
            try master.cli("REPLICAOF", "NO", "ONE")
            try await bus.ready(1)
        }
        for sentinel in sentinels { sentinel.kill() }
    }

    @Test(.timeLimit(.minutes(4)))
    func anotherMemberOfTheClusterWhenOneGoes() async throws {
        let members = try await Self.startCluster()
        // The others are found through the first.
        let bus = try RedisNode("redis-cluster://127.0.0.1:\(members[0].port)")
        try await withBus([bus], connections: .again(1...20)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("before", on: "c", recorder)
            // A member does not know of the subscribers of the others.
            #expect(try await bus.send("uncounted", to: "c").receivers == nil)
            #expect(try members[0].subscribers(of: "c") == 1)
            members[0].kill()
            try await eventually("another is used") {
                try members[1].subscribers(of: "c") + members[2].subscribers(of: "c") == 1
            }
            try await bus.ready(1)
            try await bus.roundTrip("after", on: "c", recorder)
            // Also when what others publish comes in at a third one.
            for (index, member) in members.enumerated() where index > 0 {
                try member.cli("PUBLISH", "c", "from \(index)")
                try await eventually("a message from \(index)") { recorder.count("from \(index)") == 1 }
            }
        }
    }

    static func startSentinels(
        of master: RedisServerProcess,
        configuration: String = "",
        cli: [String] = [],
        isPlain: Bool = true
    ) async throws -> [RedisServerProcess] {
        var sentinels: [RedisServerProcess] = []
        for _ in 0..<3 {
            let sentinel = try RedisServerProcess(
                sentinelConfiguration: """
                    sentinel monitor mymaster 127.0.0.1 \(master.port) 2
                    sentinel down-after-milliseconds mymaster 1000
                    sentinel failover-timeout mymaster 4000
                    \(configuration)
                    """,
                cli: cli,
                isPlain: isPlain
            )
            try await sentinel.start()
            sentinels.append(sentinel)
        }
        for sentinel in sentinels {
            try await eventually("the Sentinels know one another") {
                try sentinel.cli("SENTINEL", "CKQUORUM", "mymaster").contains("OK 3")
            }
        }
        return sentinels
    }

    static func startCluster() async throws -> [RedisServerProcess] {
        var members: [RedisServerProcess] = []
        for _ in 0..<3 {
            members.append(
                try await .start([
                    "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port",
                    "\(try FreePort.next())",
                ])
            )
        }
        let created = try Programs.run(
            "redis-cli",
            ["--cluster", "create"] + members.map { "127.0.0.1:\($0.port)" }
                + ["--cluster-replicas", "0", "--cluster-yes"]
        )
        for member in members {
            try await eventually("a cluster: \(created)") {
                try member.cli("CLUSTER", "INFO").contains("cluster_state:ok")
                    && member.cli("CLUSTER", "NODES").split(separator: "\n").count == 3
            }
        }
        return members
    }
}
