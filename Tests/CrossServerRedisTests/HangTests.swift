import CrossServerRESP
import CrossServerRedis
import NIOCore
import Testing

/// Servers that fall silent, change their role, and come back.
@Suite struct HangTests {
    private static let watchful = RedisBus.Configuration.quick {
        $0.probeInterval = .milliseconds(300)
        $0.probeDeadline = .seconds(1)
    }

    /// The server takes what others publish while it does not run, and has it for the connections that are there when it
    /// goes on.
    @Test(.timeLimit(.minutes(3)))
    func whatOthersPublishOnAServerThatHangsComesLateAndOnce() async throws {
        let server = try await RedisServerProcess.start()
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: server.port)
        // The one that publishes.
        try await withBus([try RedisNode(server.url)], Self.watchful, connections: .again(1...9)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await BrokerPeer.with(address) { other in
                server.freeze()
                try await eventually("silent") { bus.links.allSatisfy { !$0.canPublish && !$0.canReceive } }
                #expect(bus.links.first?.problem?.contains("not answered") == true)
                var commands = ByteBuffer()
                for number in 0..<2_000 {
                    commands.writePublish(channel: "c", message: ByteBuffer(string: "\(number)"))
                }
                try await other.send(commands)
                server.thaw()
                try await eventually("all: \(recorder.messages.count)") { recorder.count("1999") > 0 }
            }
            #expect(recorder.texts == (0..<2_000).map { "\($0)" })
            try await bus.ready(1)
            #expect(bus.links.first?.problem == nil)
            try await bus.roundTrip("after", on: "c", recorder)
        }
    }

    /// The server answers on new connections only, as after a restart that the network has not told of.
    @Test(.timeLimit(.minutes(3)))
    func aConnectionThatBringsNothingIsReplacedWhenTheServerAnswersOnANewOne() async throws {
        let server = try await ScriptedRedis.start(ScriptedRedis.good)
        try await withBus([try RedisNode(server.url)], Self.watchful, connections: .again(2...9)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            server.mute()
            try await eventually("both made anew") { bus.statistics.reconnects >= 2 }
            try await bus.ready(1)
            let events = recorder.reports.filter { $0.type == .subscriber }.map(\.event)
            #expect(events.starts(with: [.ready, .lost]))
            #expect(events.last == .ready)
        }
        try await server.stop()
    }

    @Test(.timeLimit(.minutes(3)))
    func aMasterThatBecomesAReplicaIsOutOfUseUntilItIsAMasterAgain() async throws {
        let server = try await RedisServerProcess.start()
        let other = try await RedisServerProcess.start()
        try await withBus([try RedisNode(server.url)], connections: .again(2...2)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try server.cli("REPLICAOF", "127.0.0.1", "\(other.port)")
            try await eventually("out of use") { bus.links.allSatisfy { !$0.canPublish && !$0.canReceive } }
            try await eventually("told: \(recorder.reports)") {
                Set(recorder.reports.filter { $0.error?.contains("not the master") == true }.map(\.type)).count == 2
            }
            #expect(bus.links.first?.problem?.contains("not the master") == true)
            try server.cli("REPLICAOF", "NO", "ONE")
            try await bus.ready(1)
            try await bus.roundTrip("after", on: "c", recorder)
        }
    }

    /// Seven seconds at most with the defaults.
    @Test func theRoleIsAskedForOftenEnough() {
        let configuration = RedisBus.Configuration()
        #expect(configuration.probeInterval + configuration.probeDeadline <= .seconds(7))
    }

    /// No attempt is due for half a minute.
    @Test(.timeLimit(.minutes(3)))
    func aConnectionThatIsMadeBringsTheOthers() async throws {
        let server = try await RedisServerProcess.start()
        let other = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick {
            $0.reconnectInitialDelay = .seconds(600)
            $0.reconnectMaximumDelay = .seconds(600)
        }
        let gone = try RedisServerProcess()
        try await withBus([try RedisNode(gone.url)], configuration, connections: .neverAgain) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            try await gone.start()
            _ = try bus.add(try RedisNode(other.url))
            try await bus.ready(2)
        }
        withExtendedLifetime(server) {}
    }

    /// What the server says to publishes is told until it takes them.
    @Test(.timeLimit(.minutes(3)))
    func whyPublishesAreRefusedIsTold() async throws {
        let server = try await RedisServerProcess.start()
        try server.cli("ACL", "SETUSER", "joe", "on", ">pw", "+@pubsub", "-publish", "+ping", "&*")
        try await withBus([try RedisNode("redis://joe:pw@127.0.0.1:\(server.port)")]) { bus, _ in
            try await bus.ready(1)
            #expect(bus.links.first?.problem == nil)
            let error = await #expect(throws: BusError.self) { try await bus.send("x", to: "c") }
            #expect(error?.code == .refused)
            try await eventually("told") { bus.links.first?.problem?.contains("NOPERM") == true }
            try server.cli("ACL", "SETUSER", "joe", "+publish")
            _ = try await bus.send("x", to: "c")
            try await eventually("over") { bus.links.first?.problem == nil }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whyThereIsNoConnectionIsTold() async throws {
        let server = try await RedisServerProcess.start(["--requirepass", "right"], cli: ["-a", "right"])
        var node = try RedisNode(server.url)
        node.setCredentials(RedisCredentials(password: "wrong"))
        try await withBus([node], connections: .neverAgain) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            let error = await #expect(throws: BusError.self) {
                try await bus.subscribed(to: ["c"], within: .milliseconds(100))
            }
            #expect(error?.message.contains("WRONGPASS") == true)
            let publish = await #expect(throws: BusError.self) { try await bus.send("x", to: "c") }
            #expect(publish?.message.contains("WRONGPASS") == true)
        }
    }
}
