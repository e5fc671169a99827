import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import CrossServer

@Suite(.timeLimit(.minutes(2)))
struct PresenceTests {
    /// What was told to somebody who watches.
    private final class Log: Sendable {
        private let changes = Mutex<[PresenceChange]>([])

        init(_ presence: RoomPresence) {
            presence.onChange { change in self.changes.withLock { $0.append(change) } }
        }

        var all: [PresenceChange] { self.changes.withLock { $0 } }
        var joined: [String: String] { self.all.reduce(into: [:]) { $0.merge($1.joined) { $1 } } }
        var left: Set<String> { self.all.reduce(into: []) { $0.formUnion($1.left) } }
    }

    @Test func membersOfAllServersAreKnownAndFollowed() async throws {
        try await withChat(["a": ["1", "2"], "b": ["3"], "c": []]) { chat in
            let (a, b, c) = (chat.servers[0], chat.servers[1], chat.servers[2])
            try await a.joinRoom("r", in: "n", "1")
            try await b.joinRoom("r", in: "n", "3")
            try await b.joinRoom("other", in: "n", "3")
            for server in chat.servers {
                let presence = try await server.presence(ofRoom: "r", in: "n", grace: .zero)
                #expect(presence.members == ["1": "a", "3": "b"])
                #expect(presence.count == 2)
                #expect(presence.missing == [])
                var changes = presence.changes.makeAsyncIterator()
                try await a.joinRoom("r", in: "n", "2")
                let joined = try #require(await changes.next())
                #expect(joined == PresenceChange(joined: ["2": "a"], left: [], count: 3))
                b.leaveRoom("r", in: "n", "3")
                let left = try #require(await changes.next())
                #expect(left == PresenceChange(joined: [:], left: ["3"], count: 2))
                #expect(presence.members == ["1": "a", "2": "a"])
                presence.cancel()
                #expect(await changes.next() == nil)
                a.leaveRoom("r", in: "n", "2")
                try await b.joinRoom("r", in: "n", "3")
            }
            // A connection that ends leaves, and a room that is removed is empty.
            let presence = try await c.presence(ofRoom: "r", in: "n", grace: .zero)
            let log = Log(presence)
            try chat["1"].close()
            try await eventually { log.left == ["1"] }
            try c.removeRoom("r", in: "n")
            try await eventually { log.left == ["1", "3"] }
            #expect(presence.members.isEmpty)
            #expect(log.joined.isEmpty)
        }
    }

    @Test func whoIsBackInTimeHasNotLeft() async throws {
        try await withChat(["a": ["1", "2"], "b": [], "c": []]) { chat in
            let (a, b, c) = (chat.servers[0], chat.servers[1], chat.servers[2])
            for id in ["1", "2"] { try await a.joinRoom("r", in: "n", id) }
            let patient = try await c.presence(ofRoom: "r", in: "n", grace: .seconds(60))
            let impatient = try await c.presence(ofRoom: "r", in: "n", grace: .zero)
            let (patientLog, impatientLog) = (Log(patient), Log(impatient))
            try chat["1"].close()
            try await eventually { impatientLog.left == ["1"] }
            #expect(patient.members == ["1": "a", "2": "a"])
            let again = try await Chat.connect("1", to: b)
            try await b.joinRoom("r", in: "n", "1")
            try await eventually { patient.members == ["1": "b", "2": "a"] }
            try await eventually { impatientLog.joined == ["1": "b"] }
            // It has not left: it is on another server.
            try await eventually { !patientLog.all.isEmpty }
            #expect(patientLog.all == [PresenceChange(joined: [:], moved: ["1": "b"], left: [], count: 2)])
            again.close()
        }
    }

    @Test func whoIsNotBackInTimeHasLeft() async throws {
        try await withChat(["a": ["1"], "b": []]) { chat in
            try await chat.servers[0].joinRoom("r", in: "n", "1")
            let presence = try await chat.servers[1].presence(ofRoom: "r", in: "n", grace: .milliseconds(300))
            let left = Mutex<ContinuousClock.Instant?>(nil)
            presence.onChange { _ in left.withLock { $0 = .now } }
            let start = ContinuousClock.now
            try chat["1"].close()
            try await eventually { left.withLock { $0 } != nil }
            #expect(try #require(left.withLock { $0 }) - start >= .milliseconds(300))
            #expect(presence.members == [:])
        }
    }

    @Test func aServerStopsWithItsMembersAndAnotherComes() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withChat(["a": ["1"]], buses: [hub.makeBus()]) { chat in
            try await chat.servers[0].joinRoom("r", in: "n", "1")
            let presence = try await chat.servers[0].presence(ofRoom: "r", in: "n", grace: .milliseconds(50))
            #expect(presence.members == ["1": "a"])
            #expect(presence.missing == [], "nobody else is there")
            let counting = try await chat.servers[0].presence(
                ofRoom: "r",
                in: "n",
                grace: .milliseconds(50),
                detail: .countOnly
            )
            let log = Log(presence)
            try await withChat(["b": ["2", "3"]], buses: [hub.makeBus()]) { other in
                try await other.servers[0].joinRoom("r", in: "n", "2")
                try await eventually { presence.members == ["1": "a", "2": "b"] && counting.count == 2 }
                try await other.servers[0].joinRoom("r", in: "n", "3")
                try await eventually { presence.count == 3 && counting.count == 3 }
            }
            try await eventually { presence.members == ["1": "a"] && counting.count == 1 }
            // The log hears of it a moment later.
            try await eventually { log.joined == ["2": "b", "3": "b"] && log.left == ["2", "3"] }
            #expect(presence.missing == [])
        }
    }

    /// It says nothing any more, and is dead after 3.5 s.
    @Test func aServerDiesWithItsMembers() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withChat(["a": []], buses: [hub.makeBus()]) { chat in
            let bus = SeverableBus(hub.makeBus())
            let dying = WebSocketCrossServerAdapter(
                serverName: "d",
                listening: .host("127.0.0.1", port: 0),
                bus: bus
            )
            Chat.prepare(dying)
            let running = Task { try await dying.run() }
            try await eventually { chat.servers[0].servers.count == 2 && dying.listeningAddress != nil }
            _ = try await Chat.connect("1", to: dying)
            try await dying.joinRoom("r", in: "n", "1")
            let presence = try await chat.servers[0].presence(ofRoom: "r", in: "n", grace: .milliseconds(50))
            #expect(presence.members == ["1": "d"])
            bus.sever()
            // Who asks now does not wait for ever, and gets to know who is missing.
            let late = try await chat.servers[0].presence(ofRoom: "other", in: "n")
            let missing = late.missing.map(\.server)
            // On a slow machine it may be dead already when the answer is there.
            if missing != ["d"] { #expect(missing == [] && chat.servers[0].servers.count == 1) }
            try await eventually { presence.members.isEmpty && late.missing.isEmpty }
            running.cancel()
            _ = await running.result
        }
    }

    @Test func severalWatchersShareOneSubscription() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = [hub.makeBus(), hub.makeBus()]
        try await withChat(["a": ["1"], "b": ["2"]], buses: buses) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            let watchers = try await withThrowingTaskGroup(of: RoomPresence.self) { group in
                for _ in 0..<20 { group.addTask { try await a.presence(ofRoom: "r", in: "n", grace: .zero) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(try await a.watchCount() == 1)
            let channel = a.transport.channels.channel(
                of: PresenceTopic(room: RoomName(namespace: "n", room: "r"), isCountOnly: false)
            )
            #expect(Self.subscribers(of: channel, buses[1]) == 1)
            let logs = watchers.map { Log($0) }
            try await b.joinRoom("r", in: "n", "2")
            try await eventually { logs.allSatisfy { $0.joined == ["2": "b"] } }
            // Not those who have stopped.
            for watcher in watchers.dropLast() { watcher.cancel() }
            b.leaveRoom("r", in: "n", "2")
            try await eventually { logs.last?.left == ["2"] }
            #expect(logs.dropLast().allSatisfy { $0.left.isEmpty })
            watchers.last?.cancel()
            try await eventually { try await a.watchCount() == 0 && b.isUnwatched }
            #expect(Self.subscribers(of: channel, buses[1]) == 0)
        }
    }

    @Test func whatIsLetGoIsNotWatched() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let buses = [hub.makeBus(), hub.makeBus()]
        try await withChat(["a": [], "b": ["1"]], buses: buses) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            // The changes alone keep it.
            let change = try await Self.first(of: try await a.presence(ofRoom: "r", in: "n").changes) {
                try b.joinRoomWithoutWaiting("r", in: "n", "1")
            }
            #expect(change?.joined == ["1": "b"])
            for detail in [RoomPresence.Detail.members, .countOnly] {
                _ = try await a.presence(ofRoom: "r", in: "n", detail: detail)
            }
            try await eventually { try await a.watchCount() == 0 && a.isUnwatched && b.isUnwatched }
        }
    }

    @Test func largeRoomsAreCounted() async throws {
        try await withChat(["a": ["1"], "b": []]) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            let socket = try #require(a.socket(forID: "1"))
            let presence = try await b.presence(ofRoom: "r", in: "n", grace: .zero, detail: .countOnly)
            let log = Log(presence)
            let before = a.statistics.cluster.messagesSent
            let start = ContinuousClock.now
            // Ids without connections: only the registry is asked for them.
            let room = RoomName(namespace: "n", room: "r")
            for number in 0..<20_000 {
                a.clients.change { registry in
                    _ = registry.bind("m\(number)", to: socket)
                    _ = registry.join("m\(number)", room, maximumRooms: 1)
                }
            }
            try await eventually { presence.count == 20_000 }
            let quarters = Int((ContinuousClock.now - start) / .milliseconds(250)) + 2
            #expect(log.all.count <= quarters)
            #expect(log.all.allSatisfy { $0.joined.isEmpty && $0.left.isEmpty })
            #expect(a.statistics.cluster.messagesSent - before <= quarters + 4, "and its heartbeats")
            #expect(presence.members.isEmpty)
            #expect(presence.missing == [])
            a.clients.change { $0.removeRoom(room) }
            try await eventually { presence.count == 0 }
            a.clients.change { registry in for number in 0..<20_000 { _ = registry.release("m\(number)") } }
        }
    }

    @Test func aServerAloneWatchesItself() async throws {
        try await withServer(prepare: Chat.prepare) { server in
            let client = try await server.connect("/?id=1")
            _ = try await client.request("flush")
            let presence = try await server.adapter.presence(ofRoom: "r", in: "n", grace: .zero)
            var changes = presence.changes.makeAsyncIterator()
            try await server.adapter.joinRoom("r", in: "n", "1")
            #expect(await changes.next()?.joined == ["1": "test"])
            client.close()
            #expect(await changes.next()?.left == ["1"])
            #expect(presence.missing == [])
        }
    }

    @Test func theServerStopsWhileItWatches() async throws {
        let (presence, adapter) = try await withServer { server in
            (try await server.adapter.presence(ofRoom: "r", in: "n"), server.adapter)
        }
        var changes = presence.changes.makeAsyncIterator()
        #expect(await changes.next() == nil)
        let error = await #expect(throws: CrossServerError.self) {
            _ = try await adapter.presence(ofRoom: "r", in: "n")
        }
        #expect(error?.code == .stopping)
        let invalid = await #expect(throws: CrossServerError.self) {
            _ = try await adapter.presence(ofRoom: "", in: "n")
        }
        #expect(invalid?.code == .invalidName)
    }

    private static func first(
        of changes: AsyncStream<PresenceChange>,
        after body: () throws -> Void
    ) async throws -> PresenceChange? {
        try body()
        return await changes.first { _ in true }
    }

    private static func subscribers(of channel: String, _ bus: InProcessBus) -> Int {
        let count = Mutex(0)
        bus.countSubscribers(of: [channel], over: BusLink(number: 0)) { counts in
            count.withLock { $0 = counts?.first ?? -1 }
        }
        return count.withLock { $0 }
    }
}

extension WebSocketCrossServerAdapter {
    /// Rooms that this server watches, each in its own way.
    fileprivate func watchCount() async throws -> Int {
        let cluster = self.cluster
        return try await cluster.transport.eventLoop.submit {
            let presence = cluster.presence.watches.value
            return max(presence.watches.count, presence.keys.count)
        }.get()
    }

    /// Whether no server watches rooms of this one.
    fileprivate var isUnwatched: Bool { self.clients.read { $0.watched.isEmpty } }
}
