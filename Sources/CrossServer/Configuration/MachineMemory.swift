#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// How much memory the process may take: the machine's, or less in a container.
enum MachineMemory {
    /// In bytes.
    static var available: Int {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        // What says no size of its own is taken for a small machine.
        return self.available(machine: machine > 0 ? machine : 1 << 30, readFile: self.readFile)
    }

    /// - Parameters:
    ///   - machine: bytes of the machine.
    ///   - readFile: the first line and the others of a file; nil when it cannot be read.
    static func available(machine: Int, readFile: (String) -> String?) -> Int {
        guard let groups = readFile("/proc/self/cgroup") else { return machine }
        var least = machine
        for line in groups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let folder: String
            let file: String
            if parts[0] == "0", parts[1].isEmpty {
                (folder, file) = ("/sys/fs/cgroup", "memory.max")
            } else if parts[1].split(separator: ",").contains("memory") {
                (folder, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                continue
            }
            // A limit may be set at any level. Within a container the path may be one that only the host can see.
            var path = parts[2].split(separator: "/")
            while true {
                let level = path.isEmpty ? folder : folder + "/" + path.joined(separator: "/")
                let text = readFile(level + "/" + file) ?? ""
                if let limit = Int(text.prefix { $0.isNumber }), limit > 0 { least = min(least, limit) }
                if path.popLast() == nil { break }
            }
        }
        return least
    }

    private static func readFile(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
