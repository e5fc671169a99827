import CrossServerTesting
import CrossServerWebSocket
import Synchronization
import Testing

@testable import CrossServer

@Suite(.timeLimit(.minutes(2))) struct MemoryTests {
    @Test func theLargestHolderIsClosedAndOthersStay() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumMemory = 800_000
        configuration.limits.closeTimeout = .milliseconds(200)
        try await withServer(configuration: configuration) { server in
            let small = try await RawConnection.openWebSocket(server.address)
            let part = String(repeating: "x", count: 100_000)
            try await small.send(RawConnection.frame(part, announced: part.utf8.count + 1))
            try await eventually { server.adapter.statistics.memory.received >= 100_000 }
            let large = try await RawConnection.openWebSocket(server.address)
            try await large.send(
                RawConnection.frame(String(repeating: "x", count: 900_000), announced: 1_000_000)
            )
            #expect(try await large.read(until: "server is out of memory").contains("server is out of memory"))
            try await eventually { server.adapter.socketClientCount == 1 }
            #expect(server.adapter.statistics.connectionsShed == 1)
            try await small.send([0x78])
            try await eventually { server.adapter.statistics.messagesReceived == 1 }
            try await eventually { server.adapter.statistics.memory.received == 0 }
        }
    }

    @Test func newClientsAreRefusedWhileThereIsNoMemory() async throws {
        try await withServer(prepare: { _ in }, run: self.fillMemory)
    }

    /// Whether the next message waits for the handler or not.
    @Test(arguments: [[], .concurrent] as [HandlerOptions])
    func whatHandlersHaveCounts(options: HandlerOptions) async throws {
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent("hold", options: options) { _, _, reply async in
                for await _ in released { break }
                reply?(.absent)
            }
        } run: { server in
            let client = try await server.connect()
            async let reply = client.request("hold", Payload(String(repeating: "x", count: 300_000)))
            try await eventually { server.adapter.statistics.memory.queued >= 300_000 }
            release.finish()
            _ = try await reply
            try await eventually { server.adapter.statistics.memory.queued == 0 }
        }
    }

    @Test func whatWasFreedIsReturnedToTheSystemOnce() async throws {
        try await withServer { _ in
        } run: { server in
            let relief = server.adapter.clientSockets.memoryRelief
            let much = relief.budget.limit / 8
            relief.budget.add(much, to: .received)
            relief.returnMemory()
            #expect(relief.returned.load(ordering: .relaxed) == 0)
            relief.budget.add(-much, to: .received)
            for _ in 0..<3 { relief.returnMemory() }
            #expect(relief.returned.load(ordering: .relaxed) == 1)
            // Whether anybody is connected or not.
            relief.budget.add(much, to: .received)
            relief.returnMemory()
            let client = try await server.connect()
            try await eventually { server.adapter.socketClientCount == 1 }
            relief.budget.add(-much, to: .received)
            client.close()
            try await eventually { relief.returned.load(ordering: .relaxed) == 2 }
        }
    }

    private func fillMemory(of server: RunningServer) async throws {
        let budget = server.adapter.clientSockets.memoryRelief.budget
        budget.add(budget.limit + 1, to: .sending)
        let client = try await RawConnection.open(server.address)
        try await client.send(RawConnection.upgrade)
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 503 "))
        budget.add(-budget.limit - 1, to: .sending)
        _ = try await server.connect()
    }
}
