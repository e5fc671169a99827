#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// How many files and connections the process may have open (`ulimit -n`).
package enum FileLimit {
    /// Kept for everything but clients: the listening socket, event loops, the bus, logs.
    static let reserve = 64

    /// Nil when the system does not tell.
    static var current: Int? { self.read().map { Int(clamping: $0.rlim_cur) } }

    /// How many connections so many files allow; as many as are wanted when the system does not tell.
    static func connections(files: Int?, wanted: Int) -> Int {
        guard let files else { return wanted }
        return min(wanted, max(files - self.reserve, 1))
    }

    /// Raises the soft limit to the hard one. For a program to ask for: a library does not change its process.
    package static func raise() {
        guard var limit = self.read() else { return }
        #if canImport(Darwin)
        // The kernel takes no more than that.
        let highest = min(limit.rlim_max, rlim_t(OPEN_MAX))
        #else
        let highest = limit.rlim_max
        #endif
        guard limit.rlim_cur < highest else { return }
        limit.rlim_cur = highest
        // What cannot be raised stays: the server says at its start how many connections that allows.
        #if canImport(Darwin)
        _ = setrlimit(RLIMIT_NOFILE, &limit)
        #else
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #endif
    }

    private static func read() -> rlimit? {
        var limit = rlimit()
        #if canImport(Darwin)
        let result = getrlimit(RLIMIT_NOFILE, &limit)
        #else
        let result = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #endif
        return result == 0 ? limit : nil
    }
}
