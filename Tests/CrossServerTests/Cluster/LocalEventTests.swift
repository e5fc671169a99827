import CrossServer
import CrossServerTesting
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Events that a server sends itself.
@Suite(.timeLimit(.minutes(2))) struct LocalEventTests {
    /// Each event is followed by another, for ever; the only event loop has clients to serve.
    @Test func eventsOfAServerToItselfLeaveTimeForClients() async throws {
        let isRunning = Mutex(true)
        let count = Mutex(0)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try await withCluster(["a"], listening: .host("127.0.0.1", port: 0), eventLoopGroup: group) { adapter in
            adapter.onCrossServerEvent("again") { [unowned adapter] _, _ in
                count.withLock { $0 += 1 }
                if isRunning.withLock({ $0 }) { try adapter.emitCrossServer("again", to: .server("a")) }
            }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { servers in
            defer { isRunning.withLock { $0 = false } }
            let client = try await TestClient.connect(to: try #require(servers[0].listeningAddress))
            for _ in 0..<3 { try servers[0].emitCrossServer("again", to: .server("a")) }
            for number in 0..<3 { #expect(try await client.request("echo", Payload(number)) == Payload(number)) }
            try await eventually { count.withLock { $0 } > 10_000 }
            client.close()
        }
        try await group.shutdownGracefully()
    }

    @Test func eventsOfAServerToItselfAreBounded() async throws {
        let handled = Mutex(0)
        let refused = Mutex<[CrossServerError.Code]>([])
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumQueuedDeliveries = 100
        try await withCluster(["a"], configuration: configuration) { adapter in
            adapter.onCrossServerEvent("n") { _, _ in handled.withLock { $0 += 1 } }
            // On the loop that handles them: none is handled meanwhile.
            adapter.onCrossServerEvent("many") { [unowned adapter] _, _ in
                for _ in 0..<110 {
                    do {
                        try adapter.emitCrossServer("n", to: .server("a"))
                    } catch let error as CrossServerError {
                        refused.withLock { $0.append(error.code) }
                    }
                }
            }
        } run: { servers in
            for round in 1...3 {
                try servers[0].emitCrossServer("many", to: .server("a"))
                try await eventually { handled.withLock { $0 } == 100 * round }
                #expect(refused.withLock { $0 } == Array(repeating: .overloaded, count: 10 * round))
            }
            // Neither does a request that is refused take a place.
            let replies = try await servers[0].emitCrossServer("n", to: .server("b"), timeout: .milliseconds(1))
            #expect(replies.replies.isEmpty)
        }
    }
}
