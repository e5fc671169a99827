import Foundation
import NIOCore
import Synchronization
import Testing

@testable import CrossServerRedis

/// Against `redis-server`: what goes wrong, and that it comes back by itself.
@Suite struct FaultTests {
    @Test(.timeLimit(.minutes(3)))
    func killedAndStartedAgainEmpty() async throws {
        let server = try await RedisServerProcess.start()
        try await withBus([try RedisNode(server.url)], connections: .again(2...2)) { bus, recorder in
            bus.subscribe(to: ["a", "b"])
            try await bus.ready(1)
            try await bus.roundTrip("before", on: "a", recorder)
            server.kill()
            try await eventually("out of use") { bus.links.allSatisfy { !$0.canPublish && !$0.canReceive } }
            try await eventually("told that nobody listens") {
                Set(recorder.reports.filter { $0.event == .connectFailed }.map(\.type)).count == 2
            }
            let error = await #expect(throws: BusError.self) { try await bus.send("x", to: "a") }
            #expect(error?.code == .notConnected)
            bus.subscribe(to: ["c"])
            bus.unsubscribe(from: ["b"])
            try await server.start()
            try await bus.ready(1)
            #expect(try server.subscribers(of: "a") == 1)
            #expect(try server.subscribers(of: "b") == 0)
            #expect(try server.subscribers(of: "c") == 1)
            try await bus.roundTrip("after", on: "c", recorder)
            let events = recorder.reports.filter { $0.type == .publisher }.map(\.event)
            #expect(events.first == .ready)
            #expect(events.contains(.lost))
            #expect(events.contains(.connectFailed))
            #expect(events.last == .ready)
            #expect(recorder.reports.allSatisfy { $0.serverName == "tests" && $0.port == server.port })
            #expect(recorder.reports.allSatisfy { $0.isHealthy == ($0.error == nil) && $0.totalNodeCount == 1 })
            try await eventually("both counted") { bus.statistics.reconnects == 2 }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func frozenIsOutOfUseInTimeAndComesBack() async throws {
        let frozen = try await RedisServerProcess.start()
        let other = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick {
            $0.probeInterval = .milliseconds(300)
            $0.probeDeadline = .milliseconds(700)
        }
        let nodes = [try RedisNode(frozen.url), try RedisNode(other.url)]
        // The one that publishes; on a busy machine also more often.
        try await withBus(nodes, configuration, connections: .again(1...9)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(2)
            frozen.freeze()
            let clock = ContinuousClock()
            let start = clock.now
            try await eventually("out of use both ways") { !bus.links[0].canPublish && !bus.links[0].canReceive }
            // A busy machine may take longer; a bus that has no deadline takes for ever.
            #expect(clock.now - start < .seconds(10))
            #expect(bus.links[1].canPublish && bus.links[1].canReceive)
            let good = bus.links[1].link
            for number in 0..<20 { #expect(try await bus.send("\(number)", to: "c").link == good) }
            frozen.thaw()
            try await bus.ready(2)
            try await eventually("20 messages") { recorder.messages.count == 20 }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whatDoesNotAnswerIsReportedEachTimeAndKept() async throws {
        let server = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick { $0.probeInterval = .seconds(60) }
        try await withBus([try RedisNode(server.url)], configuration) { bus, recorder in
            try await bus.ready(1)
            _ = try await bus.send("x", to: "c")
            for count in 1...2 {
                server.freeze()
                let sending = Task { try await bus.send("y", to: "c") }
                try await eventually("stalled") { recorder.stalled.count == count }
                server.thaw()
                _ = try await sending.value
            }
            #expect(recorder.stalled == [bus.links[0].link, bus.links[0].link])
            #expect(bus.links[0].canPublish)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func publishesToAFrozenServerHaveAnOutcomeAndABound() async throws {
        let server = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick {
            $0.maximumBytesInFlight = 1 << 20
            $0.publishDeadline = .seconds(1)
            $0.probeInterval = .seconds(60)
        }
        try await withBus([try RedisNode(server.url)], configuration, connections: .again(1...3)) { bus, _ in
            try await bus.ready(1)
            server.freeze()
            let outcomes = Mutex<[BusError.Code: Int]>([:])
            let message = ByteBuffer(repeating: 0x78, count: 10_000)
            var taken = 0
            let error = #expect(throws: BusError.self) {
                while taken < 1_000 {
                    try bus.publish(message, to: "c") { result in
                        guard case .failure(let error) = result else { return }
                        outcomes.withLock { $0[error.code, default: 0] += 1 }
                    }
                    taken += 1
                }
            }
            #expect(error?.code == .tooManyBytesInFlight)
            #expect(100...105 ~= taken)
            try await eventually("all outcomes") { outcomes.withLock { $0.values.reduce(0, +) } == taken }
            #expect(outcomes.withLock { $0 } == [.outcomeUnknown: taken])
            server.thaw()
            try await bus.ready(1)
            _ = try await bus.send("x", to: "c")
        }
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["pubsub", "normal"])
    func connectionsCutByTheServer(type: String) async throws {
        let server = try await RedisServerProcess.start()
        try await withBus([try RedisNode(server.url)], connections: .again(3...3)) { bus, recorder in
            let channels = (0..<5_000).map { "channel.\($0)" }
            bus.subscribe(to: channels)
            try await bus.ready(1)
            for round in 1...3 {
                try server.cli("CLIENT", "KILL", "TYPE", type)
                try await eventually("noticed") { bus.statistics.reconnects >= round }
                try await bus.ready(1)
                #expect(try server.subscribers(of: channels[0]) == 1)
                #expect(try server.cli("PUBSUB", "CHANNELS", "channel.*").split(separator: "\n").count == 5_000)
                try await bus.roundTrip("round \(round)", on: channels[4_999 - round], recorder)
            }
            #expect(try server.clients().count == 2)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func refusedForAWhile() async throws {
        let server = try RedisServerProcess()
        try await withBus([try RedisNode(server.url)], connections: .neverAgain) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            #expect(recorder.reports.allSatisfy { $0.event == .connectFailed && !$0.isHealthy })
            let error = await #expect(throws: BusError.self) {
                try await bus.subscribed(to: ["c"], within: .milliseconds(200))
            }
            #expect(error?.code == .notConnected)
            #expect(throws: BusError.self) { try bus.publish(ByteBuffer(string: "x"), to: "c") }
            // Each reason is told once, however many attempts there are.
            #expect(recorder.reports.count == 2)
            async let subscribed: Void = bus.subscribed(to: ["c"], within: .seconds(60))
            try await server.start()
            try await subscribed
            try await bus.ready(1)
            try await bus.roundTrip("x", on: "c", recorder)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aWrongPasswordAndARotatedOne() async throws {
        let server = try await RedisServerProcess.start(["--requirepass", "right"], cli: ["-a", "right"])
        let password = Mutex("wrong")
        var node = try RedisNode(server.url)
        node.credentials = { RedisCredentials(password: password.withLock { $0 }) }
        try await withBus([node], connections: .again(2...2)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            #expect(recorder.reports.allSatisfy { $0.error?.contains("WRONGPASS") == true })
            password.withLock { $0 = "right" }
            try await bus.ready(1)
            try server.cli("CONFIG", "SET", "requirepass", "new")
            for type in ["normal", "pubsub"] {
                try Programs.run("redis-cli", ["-p", "\(server.port)", "-a", "new", "CLIENT", "KILL", "TYPE", type])
            }
            try await eventually("refused again") {
                recorder.reports.suffix(4).contains { $0.error?.contains("WRONGPASS") == true && $0.type == .publisher }
                    && recorder.reports.suffix(4).contains {
                        $0.error?.contains("WRONGPASS") == true && $0.type == .subscriber
                    }
            }
            password.withLock { $0 = "new" }
            try await bus.ready(1)
            try await bus.roundTrip("x", on: "c", recorder)
        }
        try await withBus([try RedisNode(server.url)], connections: .neverAgain) { _, recorder in
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            #expect(recorder.reports.allSatisfy { $0.error?.contains("NOAUTH") == true })
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func garbageAndHugeMessages() async throws {
        let server = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick { $0.maximumMessageSize = 1 << 20 }
        try await withBus([try RedisNode(server.url)], configuration) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            let largest = ByteBuffer(repeating: 0x78, count: 1 << 20)
            try bus.publish(largest, to: "c")
            try await eventually("the largest message") { recorder.count("1048576 bytes") == 1 }
            let error = #expect(throws: BusError.self) {
                try bus.publish(ByteBuffer(repeating: 0x78, count: (1 << 20) + 1), to: "c")
            }
            #expect(error?.code == .messageTooLarge)
            // What others send is theirs: bytes are passed on as they are, and one that is too long is passed over.
            try server.cli("-x", "PUBLISH", "c", input: Data([0, 0xFF, 0x0D, 0x0A, 0x2A]))
            try await eventually("garbage") { recorder.messages.count == 2 }
            try server.cli("-x", "PUBLISH", "c", input: Data(repeating: 0x78, count: 3 << 20))
            try server.cli("PUBLISH", "c", "after")
            try await eventually("the next one") { recorder.count("after") == 1 }
            #expect(recorder.messages.count == 3)
            #expect(bus.statistics.tooLarge == 1)
            #expect(bus.statistics.dropped == 0)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func leavingAndJoiningInOneInstant() async throws {
        let server = try await RedisServerProcess.start()
        try await withBus([try RedisNode(server.url)]) { bus, recorder in
            bus.subscribe(to: ["c", "d"])
            try await bus.ready(1)
            for round in 0..<100 {
                bus.unsubscribe(from: ["c"])
                bus.subscribe(to: ["c"])
                bus.unsubscribe(from: ["d"])
                if round.isMultiple(of: 2) {
                    // Not in one turn of the loop.
                    try await bus.subscribed(to: ["c"], within: .seconds(60))
                }
                bus.subscribe(to: ["d"])
                bus.unsubscribe(from: ["d"])
            }
            try await bus.subscribed(to: ["c"], within: .seconds(60))
            #expect(try server.subscribers(of: "c") == 1)
            try await eventually("left") { try server.subscribers(of: "d") == 0 }
            try await bus.roundTrip("x", on: "c", recorder)
            let error = await #expect(throws: BusError.self) {
                try await bus.subscribed(to: ["d"], within: .seconds(60))
            }
            #expect(error?.code == .subscriptionFailed)
            #expect(bus.statistics.reconnects == 0)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func everyPublishHasOneOutcomeWhileConnectionsAreCut() async throws {
        let servers = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        let nodes = try servers.map { try RedisNode($0.url) }
        let configuration = RedisBus.Configuration.quick { $0.maximumBytesInFlight = 1 << 20 }
        try await withBus(nodes, configuration, connections: .again(1...5)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(2)
            let outcomes = Tally()
            let taken = try await withThrowingTaskGroup(of: Int.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        var taken = 0
                        for number in 0..<5_000 {
                            do {
                                try bus.publish(ByteBuffer(string: "\(writer) \(number)"), to: "c") { result in
                                    switch result {
                                    case .success: outcomes.add("taken")
                                    case .failure(let error): outcomes.add(error.code.description)
                                    }
                                }
                                taken += 1
                            } catch {
                                // Full, or no connection for a moment.
                                await Task.yield()
                            }
                        }
                        return taken
                    }
                }
                for round in 0..<5 {
                    try servers[round % 2].cli("CLIENT", "KILL", "TYPE", "normal")
                }
                return try await group.reduce(0, +)
            }
            try await eventually("all outcomes") { outcomes.total >= taken }
            #expect(outcomes.total == taken)
            #expect(Set(outcomes.counts.keys).isSubset(of: ["taken", "outcomeUnknown", "notConnected"]))
            // The subscribers were not cut: whatever was taken comes, and nothing comes twice.
            let published = outcomes.counts["taken"] ?? 0
            try await eventually("all that was taken") { recorder.messages.count >= published }
            #expect(Set(recorder.texts).count == recorder.texts.count)
            #expect(bus.statistics.published == published)
            try await bus.ready(2)
        }
        withExtendedLifetime(servers) {}
    }

    @Test(.timeLimit(.minutes(3)))
    func nothingIsLeftWhenTheBusHasEnded() async throws {
        let server = try await RedisServerProcess.start()
        let gone = try RedisServerProcess()
        let nodes = [try RedisNode(server.url), try RedisNode(gone.url)]
        let outcomes = Mutex(0)
        let bus = try await withBus(nodes, connections: .neverAgain) { bus, _ in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            #expect(try server.clients().count == 2)
            for _ in 0..<100 {
                try bus.publish(ByteBuffer(string: "x"), to: "c") { _ in outcomes.withLock { $0 += 1 } }
            }
            return bus
        }
        try await eventually("every outcome") { outcomes.withLock { $0 } == 100 }
        try await eventually("no connection") { try server.clients().isEmpty }
        let error = #expect(throws: BusError.self) { try bus.publish(ByteBuffer(string: "x"), to: "c") }
        #expect(error?.code == .notConnected)
        let again = await #expect(throws: BusError.self) { try await bus.run(BusRecorder()) }
        #expect(again?.code == .alreadyRun)
        for await _ in bus.healthChanges { Issue.record("a report after the end") }
    }

    @Test(.timeLimit(.minutes(3)), arguments: [true, false])
    func nothingIsHeldWhenTheBusIsLetGo(hasRun: Bool) async throws {
        let server = try await RedisServerProcess.start()
        weak var core: BusCore?
        weak var link: RedisLink?
        if hasRun {
            (core, link) = try await withBus([try RedisNode(server.url)]) { bus, _ in
                bus.subscribe(to: ["c"])
                try await bus.ready(1)
                return (bus.core, bus.core.table.withLock { $0.entries[0].link })
            }
        } else {
            let bus = try RedisBus(server.url)
            (core, link) = (bus.core, bus.core.table.withLock { $0.entries[0].link })
            #expect(link != nil)
        }
        try await eventually("all is let go") { core == nil && link == nil }
    }
}

/// Counts by name.
private final class Tally: Sendable {
    private let state = Mutex<[String: Int]>([:])

    var counts: [String: Int] { self.state.withLock { $0 } }
    var total: Int { self.counts.values.reduce(0, +) }

    func add(_ name: String) { self.state.withLock { $0[name, default: 0] += 1 } }
}
