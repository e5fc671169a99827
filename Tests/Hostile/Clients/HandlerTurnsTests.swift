import CrossServer
import CrossServerTesting
import NIOCore
import Testing

/// Asynchronous handlers run on the event loops of the clients, and must not keep these from their sockets.
@Suite(.timeLimit(.minutes(2))) struct HandlerTurnsTests {
    @Test func handlersThatAlwaysGoOnLetOthersIn() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent("spin") { _, _, reply async in
                reply?(.absent)
                while !Task.isCancelled { await Task.yield() }
            }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            // On each event loop there are some.
            var spinning: [TestClient] = []
            for _ in 0..<2 * System.coreCount {
                spinning.append(try await server.connect())
                _ = try await spinning.last?.request("spin")
            }
            for number in 0..<2 * System.coreCount {
                let client = try await server.connect()
                #expect(try await client.request("echo", Payload(number)) == Payload(number))
                client.close()
            }
            for client in spinning { client.close() }
            try await eventually { server.adapter.statistics.lingeringClients == 0 }
        }
    }
}
