import Testing

@testable import CrossServer

@Suite struct MachineMemoryTests {
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
