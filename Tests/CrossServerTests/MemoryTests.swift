import CrossServerTesting
import CrossServerWebSocket
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

    private func fillMemory(of server: RunningServer) async throws {
        let budget = server.adapter.memoryRelief.budget
        budget.add(budget.limit + 1, to: .sending)
        let client = try await RawConnection.open(server.address)
        try await client.send(RawConnection.upgrade)
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 503 "))
        budget.add(-budget.limit - 1, to: .sending)
        _ = try await server.connect()
    }

    @Test(
        arguments: [
            ([:], 1_000),
            (["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "600\n"], 600),
            (["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"], 1_000),
            (
                [
                    "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n",
                    "/sys/fs/cgroup/a/memory.max": "500\n",
                ], 500
            ),
            (
                [
                    "/proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                    "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "400\n",
                ], 400
            ),
            // The path is one of the host.
            (["/proc/self/cgroup": "0::/../x\n", "/sys/fs/cgroup/memory.max": "300\n"], 300),
            (["/proc/self/cgroup": "nonsense\n"], 1_000),
        ] as [([String: String], Int)]
    )
    func memoryOfAContainer(files: [String: String], available: Int) {
        #expect(MachineMemory.available(machine: 1_000) { files[$0] } == available)
    }

    @Test func theMachineHasMemory() {
        #expect(MachineMemory.available > 1 << 20)
    }
}
