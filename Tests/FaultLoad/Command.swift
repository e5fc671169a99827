import CrossServer
import CrossServerRedis
import Logging

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// FaultLoad send|receive STRATEGY REDIS-URL…
///
/// One of the two servers of Scripts/faults, which says what to do on the standard input, a line for each command, and
/// reads one line of JSON for each.
@main
enum Command {
    static let room = "lobby"
    static let namespace = "load"
    static let client = "one"

    static func main() async throws {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        let arguments = CommandLine.arguments
        guard arguments.count > 3, ["send", "receive"].contains(arguments[1]),
            let strategy = SelectionStrategy(arguments[2])
        else {
            print("usage: FaultLoad send|receive random|round-robin|fastest REDIS-URL…")
            exit(64)
        }
        let server = try LoadServer(name: arguments[1], strategy: strategy, redis: Array(arguments[3...]))
        let running = Task { try await server.run() }
        try await server.start()
        self.say(["ready": true])
        while let line = readLine() {
            let words = line.split(separator: " ").map(String.init)
            self.say(try await server.obey(words))
            if words == ["quit"] { break }
        }
        running.cancel()
        try await running.value
    }

    private static func say(_ answer: Payload) {
        print(answer.json)
        fflush(nil)
    }
}
