import CrossServerBus
import CrossServerTesting
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import CrossServer

private let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// However a server ends, it ends whole.
@Suite(.timeLimit(.minutes(2))) struct EndTests {
    @Test func aGateThatIsOpenedFirstLetsPass() async {
        let gate = Gate()
        gate.open()
        await gate.passed()
    }

    @Test func aZeroDeadlineWaitsForNobody() async throws {
        let table = ConnectionTable(limits: Limits())
        guard case .admitted(let admission) = table.admit(nil) else { throw TestClientError.conditionNotMet }
        // Many, since the timer must win the race that this is about.
        for _ in 0..<1_000 { #expect(await !table.drained(within: .zero)) }
        table.release(admission)
        #expect(await table.drained(within: .zero))
        let tasks = HandlerTasks(maximum: 1)
        let (cancelled, continuation) = AsyncStream.makeStream(of: Void.self)
        #expect(
            tasks.start(on: globalConcurrentExecutor) {
                await withTaskCancellationHandler {
                    for await _ in AsyncStream<Never>.makeStream().stream {}
                } onCancel: {
                    continuation.yield()
                }
            }
        )
        await tasks.ended(within: .zero)
        #expect(await cancelled.first { _ in true } != nil)
    }

    @Test func aHandlerOfAnotherServersEventDoesNotHoldUpAHurriedStop() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.shutdown.deadline = .zero
        let started = Mutex(false)
        try await withCluster(["a", "b"], configuration: configuration) { adapter in
            adapter.onCrossServerEvent("hang") { _, _ in
                started.withLock { $0 = true }
                for await _ in AsyncStream<Never>.makeStream().stream {}
            }
        } run: { servers in
            try servers[0].emitCrossServer("hang", to: .server("b"))
            try await eventually { started.withLock { $0 } }
        }
    }

    @Test func aCancelledServerSaysThatItLeaves() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a"], buses: [hub.makeBus()]) { servers in
            let changes = servers[0].serverChanges
            let second = WebSocketCrossServerAdapter(serverName: "b", bus: hub.makeBus(), logger: silent)
            let task = Task { try await second.run() }
            var reason: ServerChange.LeaveReason?
            loop: for await change in changes {
                switch change {
                case .joined: task.cancel()
                case .left(let server, let why):
                    #expect(server.name == "b")
                    reason = why
                    break loop
                }
            }
            #expect(reason == .stopped)
            try await task.value
        }
    }

    private enum Ending: CaseIterable {
        case cannotListen, invalid, cancelled, nameTaken, busFails
    }

    /// Fails when it is run.
    private struct BrokenBus: ForwardingBus {
        let bus: any Bus

        func run(_ receiver: any BusReceiver) async throws { throw BusError(.invalidConfiguration, "broken") }
    }

    @Test(arguments: Ending.allCases) private func nothingIsLeft(after ending: Ending) async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await withCluster(["a"], listening: .host("127.0.0.1", port: 0), buses: [hub.makeBus()]) { servers in
            weak var left: WebSocketCrossServerAdapter?
            do {
                var configuration = WebSocketCrossServerAdapter.Configuration()
                if ending == .invalid { configuration.limits.maximumConnections = 0 }
                let port = ending == .cannotListen ? servers[0].listeningAddress?.port : 0
                let adapter = WebSocketCrossServerAdapter(
                    serverName: ending == .nameTaken ? "a" : "b",
                    listening: .host("127.0.0.1", port: try #require(port)),
                    bus: ending == .busFails ? BrokenBus(bus: hub.makeBus()) : hub.makeBus(),
                    configuration: configuration,
                    logger: silent
                )
                left = adapter
                // As in an application: they hold the adapter.
                adapter.onWebSocketEvent("e") { _, _, _ in _ = adapter }
                adapter.onCrossServerEvent("e") { _, _ in _ = adapter }
                adapter.onReadinessChange { _ in _ = adapter }
                adapter.onUnsentMessage { _ in _ = adapter }
                let (readiness, changes) = (adapter.readinessChanges, adapter.serverChanges)
                let (missed, unsent) = (adapter.missedMessages, adapter.unsentMessages)
                let (listening, continuation) = AsyncStream.makeStream(of: Void.self)
                adapter.onWebSocketEvent(.listening) { _ in continuation.yield() }
                let task = Task { try await adapter.run() }
                if ending == .cancelled {
                    for await _ in listening { break }
                    task.cancel()
                }
                switch ending {
                case .cancelled: try await task.value
                case .busFails: await #expect(throws: BusError.self) { try await task.value }
                default: await #expect(throws: CrossServerError.self) { try await task.value }
                }
                for await _ in readiness {}
                for await _ in changes {}
                for await _ in missed {}
                for await _ in unsent {}
                #expect(adapter.listeningAddress == nil)
                let again = await #expect(throws: CrossServerError.self) { try await adapter.run() }
                #expect(again?.code == .alreadyRun)
            }
            try await eventually { left == nil }
        }
    }

    /// Notes what a server wants of its bus.
    private final class NotingBus: ForwardingBus {
        let bus: any Bus
        let wanted = Mutex<[String]>([])

        init(_ bus: any Bus) { self.bus = bus }

        func subscribe(to channels: [String]) {
            self.wanted.withLock { $0 += channels }
            self.bus.subscribe(to: channels)
        }
    }

    @Test func theBusIsAskedForNothingBeforeTheServerRuns() async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        for name in ["", "a"] {
            let bus = NotingBus(hub.makeBus())
            var configuration = WebSocketCrossServerAdapter.Configuration()
            configuration.cluster.customChannels = ["mine"]
            configuration.cluster.presetRoomNamespaces = ["chat"]
            let adapter = WebSocketCrossServerAdapter(
                serverName: name,
                listening: .host("127.0.0.1", port: 0),
                bus: bus,
                configuration: configuration,
                logger: silent
            )
            adapter.expectClients()
            #expect(bus.wanted.withLock { $0 }.isEmpty)
            let task = Task { try await adapter.run() }
            if name.isEmpty {
                await #expect(throws: CrossServerError.self) { try await task.value }
                #expect(bus.wanted.withLock { $0 }.isEmpty)
            } else {
                try await adapter.waitForBus(within: .seconds(60))
                try await eventually { bus.wanted.withLock { ["mine", "ws:chat"].allSatisfy($0.contains) } }
                task.cancel()
                try await task.value
            }
        }
    }

    /// What a server is made with.
    private struct Setup: Sendable {
        var name = "a"
        var address = ListenAddress.host("127.0.0.1", port: 0)
        var configuration = WebSocketCrossServerAdapter.Configuration()

        init(_ change: (inout Setup) -> Void) { change(&self) }
    }

    @Test(
        arguments: [
            ("serverName", Setup { $0.name = String(repeating: "x", count: 256) }),
            ("serverName", Setup { $0.name = "a\nb" }), ("port", Setup { $0.address = .port(65_536) }),
            ("host", Setup { $0.address = .host("", port: 0) }),
            ("host", Setup { $0.address = .host("a\0b", port: 0) }),
            ("path", Setup { $0.address = .unixDomainSocket(path: "") }),
            ("customChannels", Setup { $0.configuration.cluster.customChannels = [""] }),
            (
                "presetRoomNamespaces",
                Setup { $0.configuration.cluster.presetRoomNamespaces = [String(repeating: "x", count: 257)] }
            ),
            ("bridgePrefix", Setup { $0.configuration.cluster.bridgePrefix = "a\u{7F}" }),
            ("allowedOrigins", Setup { $0.configuration.allowedOrigins = ["https://*.example.com"] }),
        ]
    )
    private func namesAndAddressesAreChecked(what: String, setup: Setup) async throws {
        let adapter = WebSocketCrossServerAdapter(
            serverName: setup.name,
            listening: setup.address,
            configuration: setup.configuration,
            logger: silent
        )
        let error = await #expect(throws: CrossServerError.self) { try await adapter.run() }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains(what) == true, "\(String(describing: error))")
    }

    @Test func aListeningSocketRestsWhenThereIsNoFileDescriptor() async throws {
        let failures = Mutex(0)
        let accepted = Mutex(0)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pause = AcceptPause { _ in failures.withLock { $0 += 1 } }
                    try channel.pipeline.syncOperations.addHandler(pause)
                }
            }
            .childChannelInitializer { channel in
                accepted.withLock { $0 += 1 }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let isReading = try await listener.eventLoop.submit {
            listener.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
            return try #require(listener.syncOptions).getOption(.autoRead)
        }.get()
        #expect(!isReading)
        let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(to: try #require(listener.localAddress)).get()
        try await eventually { accepted.withLock { $0 } == 1 }
        #expect(failures.withLock { $0 } == 1)
        try await client.close()
        try await listener.close()
    }
}
