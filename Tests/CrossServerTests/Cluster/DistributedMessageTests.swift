import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)))
struct DistributedMessageTests {
    @Test(arguments: [BusEncoding.messagePack, .json])
    func messagesReachExactlyThoseTheyShould(encoding: BusEncoding) async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.encoding = encoding
        try await withChat(
            ["a": ["1", "2"], "b": ["3", "4"], "c": ["5"]],
            configuration: configuration
        ) { chat in
            let (a, b, c) = (chat.servers[0], chat.servers[1], chat.servers[2])
            for (server, id) in [(a, "1"), (b, "3"), (b, "4")] { try await server.joinRoom("lobby", in: "chat", id) }
            try await b.joinRoom("other", in: "chat", "3")
            try await c.joinRoom("lobby", in: "elsewhere", "5")

            try a.broadcast("all", ["é": [1, "\u{1F400}"]])
            #expect(try await chat["5"].next("all") == ["é": [1, "\u{1F400}"]])
            try await chat.expect("all", ["1": 1, "2": 1, "3": 1, "4": 1])
            try a.broadcast("here", localOnly: true)
            try await chat.expect("here", ["1": 1, "2": 1])
            try c.broadcastToRoom("lobby", in: "chat", "room")
            try await chat.expect("room", ["1": 1, "3": 1, "4": 1])
            try b.broadcastToRoom("lobby", in: "chat", "excluding", excluding: ["1", "4", nil, "nobody"])
            try await chat.expect("excluding", ["3": 1])
            try b.broadcastToRoom("lobby", in: "chat", "room here", localOnly: true)
            try await chat.expect("room here", ["3": 1, "4": 1])
            try #expect(!a.toSocketId("5", "one"))
            try await chat.expect("one", ["5": 1])
            try #expect(a.toSocketIds(["1", "3", "5", "3", "nobody", ""], "some") == 1)
            try await chat.expect("some", ["1": 1, "3": 1, "5": 1])
        }
    }

    /// The original's names for channels of other messages, and two namespaces that share a channel.
    @Test func namespacesDoNotDisturbEachOther() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.roomChannelLinger = .zero
        try await withChat(["a": ["1"], "b": ["2"]], configuration: configuration) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            for namespace in ["broadcast", "private_socket", "ws:broadcast", ":broadcast", "ws:chat", "chat"] {
                try await b.joinRoom("r", in: namespace, "2")
                try a.broadcastToRoom("r", in: namespace, namespace)
                try await chat.expect(namespace, ["2": 1])
            }
            for namespace in ["broadcast", "private_socket", "ws:broadcast", "ws:chat"] {
                b.leaveRoom("r", in: namespace, "2")
                try a.broadcastToRoom("r", in: namespace, "left \(namespace)")
                try await chat.expect("left \(namespace)", [:])
            }
            try a.broadcastToRoom("r", in: "chat", "still")
            try await chat.expect("still", ["2": 1])
            try a.toSocketId("2", "one")
            try await chat.expect("one", ["2": 1])
        }
    }

    @Test func joiningIsABarrier() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.roomChannelLinger = .zero
        try await withChat(["a": ["1"], "b": ["2"]], configuration: configuration) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            let client = try chat["2"]
            for number in 0..<250 {
                try await b.joinRoom("r", in: "n\(number % 3)", "2")
                try a.broadcastToRoom("r", in: "n\(number % 3)", "joined", Payload(number))
                #expect(try await client.next("joined") == Payload(number))
                b.leaveRoom("r", in: "n\(number % 3)", "2")
                try await b.joinRoom("r", in: "n\(number % 3)", "2")
                try a.broadcastToRoom("r", in: "n\(number % 3)", "again", Payload(number))
                #expect(try await client.next("again") == Payload(number))
                b.leaveRoom("r", in: "n\(number % 3)", "2")
            }
        }
    }

    /// Leaving, removing rooms and ids, disconnecting: each releases the channel.
    @Test func everyWayOfLeavingUnsubscribes() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let bus = RecordingBus(hub.makeBus())
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.roomChannelLinger = .milliseconds(1)
        configuration.cluster.presetRoomNamespaces = ["preset"]
        try await withChat(["a": ["1", "2"]], configuration: configuration, buses: [bus]) { chat in
            let server = chat.servers[0]
            let systemChannels = bus.channels
            #expect(systemChannels.isSuperset(of: ["ws:broadcast", "ws:private_socket", "ws:preset"]))
            let ways: [() throws -> Void] = [
                { server.leaveRoom("r", in: "chat", "1") },
                { try server.removeRoom("r", in: "chat") },
                { try server.broadcastToRoom("r", in: "chat", "end", removingRoom: true) },
                { server.removeUserSocket("1") },
            ]
            for way in ways {
                for namespace in ["chat", "preset"] { try await server.joinRoom("r", in: namespace, "1") }
                #expect(bus.channels == systemChannels.union(["ws:chat"]))
                try way()
                server.leaveRoom("r", in: "preset", "1")
                try await eventually { bus.channels == systemChannels }
            }
            try await server.joinRoom("r", in: "chat", "2")
            try chat["2"].terminate()
            try await eventually { bus.channels == systemChannels }
        }
    }

    @Test func aNamespaceStaysSubscribedWhenToldTo() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let bus = RecordingBus(hub.makeBus())
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.roomChannelLinger = .zero
        configuration.cluster.unsubscribesUnusedNamespaces = false
        try await withChat(["a": ["1"]], configuration: configuration, buses: [bus]) { chat in
            try await chat.servers[0].joinRoom("r", in: "chat", "1")
            chat.servers[0].leaveRoom("r", in: "chat", "1")
            try await chat.servers[0].joinRoom("r", in: "other", "1")
            #expect(bus.channels.isSuperset(of: ["ws:chat", "ws:other"]))
            #expect(bus.unsubscribed.isEmpty)
        }
    }

    @Test func whatCannotBeSentIsAnErrorAfterItWasSentHere() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.delivery = .bestEffort
        let adapter = WebSocketCrossServerAdapter(
            serverName: "a",
            bus: hub.makeBus(),
            configuration: configuration
        )
        let error = #expect(throws: CrossServerError.self) { try adapter.broadcast("x") }
        #expect(error?.code == .busUnavailable)
        try adapter.broadcast("x", localOnly: true)
    }
}

/// Knows what is subscribed.
final class RecordingBus: ForwardingBus {
    let bus: any Bus
    private let state = Mutex<(channels: Set<String>, unsubscribed: Set<String>)>(([], []))

    init(_ bus: any Bus) {
        self.bus = bus
    }

    var channels: Set<String> { self.state.withLock { $0.channels } }
    var unsubscribed: Set<String> { self.state.withLock { $0.unsubscribed } }

    func subscribe(to channels: [String]) {
        self.state.withLock { $0.channels.formUnion(channels) }
        self.bus.subscribe(to: channels)
    }

    func unsubscribe(from channels: [String]) {
        self.state.withLock { state in
            state.channels.subtract(channels)
            state.unsubscribed.formUnion(channels)
        }
        self.bus.unsubscribe(from: channels)
    }
}
