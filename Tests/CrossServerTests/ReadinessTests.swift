import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@Suite(.timeLimit(.minutes(2)))
struct ReadinessTests {
    @Test(arguments: [false, true])
    func itIsReadyFromListeningToStopping(hasBus: Bool) async throws {
        let hub = InProcessBus.Hub(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let server = WebSocketCrossServerAdapter(
            serverName: "a",
            listening: .host("127.0.0.1", port: 0),
            bus: hasBus ? hub.makeBus() : nil
        )
        #expect(server.readiness.problems == [.notRunning])
        let changes = server.readinessChanges
        let group = ServiceGroup(configuration: .init(services: [server], logger: server.logger))
        let running = Task { try await group.run() }
        var isReady: [Bool] = []
        var last: Readiness?
        for await change in changes {
            if isReady.last != change.isReady { isReady.append(change.isReady) }
            last = change
            guard change.isReady else { continue }
            #expect(server.listeningAddress != nil)
            await group.triggerGracefulShutdown()
        }
        try await running.value
        // What it was before it was ready depends on how fast it was.
        #expect(isReady.drop { !$0 } == [true, false])
        #expect(last?.problems == [.notRunning])
        #expect(server.readiness.description == "not ready\nthe server does not run")
    }

    @Test func aServerWithoutAnAddressNeedsNone() async throws {
        let server = WebSocketCrossServerAdapter()
        let running = Task { try await server.run() }
        try await eventually { server.readiness.isReady }
        running.cancel()
        try await running.value
        #expect(!server.readiness.isReady)
    }

    @Test func clientsThatAreClosedMakeItUnready() async throws {
        try await withServer { server in
            try await eventually { server.adapter.readiness.isReady }
            _ = try await server.connect()
            await server.beginShutdown()
            try await eventually { server.adapter.readiness.problems != [] }
        }
    }
}
