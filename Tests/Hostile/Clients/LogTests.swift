import CrossServer
import CrossServerTesting
import Logging
import Synchronization
import Testing

/// What a logger has written, as a person sees it.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { self.lines.withLock { $0 } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(lines: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = self.metadata.merging(event.metadata ?? [:]) { _, new in new }
            let pairs = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            self.lines.lines.withLock { $0.append("\(event.message)\(pairs.joined())") }
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct LogTests {
    private static let names = ["a\nb", "a\u{1B}[2J", "\0", "\u{7F}", "a\u{85}", "\u{9B}1m"]

    @Test(arguments: Self.names) func namesWithControlCharactersAreRefused(name: String) async throws {
        let problems = Mutex<[String]>([])
        try await withServer { adapter in
            adapter.onWebSocketEvent("try") { socket, _, reply in
                for (what, body) in [
                    ("id", { _ = try adapter.setUserSocket(name, socket) }),
                    ("room", { _ = try adapter.joinRoomWithoutWaiting(name, in: "n", "id") }),
                    ("namespace", { _ = try adapter.joinRoomWithoutWaiting("r", in: name, "id") }),
                    ("event's name", { try adapter.emitCrossServer(name) }),
                ] as [(String, () throws -> Void)] {
                    let error = #expect(throws: CrossServerError.self) { try body() }
                    #expect(error?.code == .invalidName)
                    #expect(error?.message.hasPrefix("the \(what) must have no control characters") == true)
                    problems.withLock { $0.append(error?.message ?? "") }
                }
                reply?(.absent)
            }
        } run: { server in
            _ = try await server.connect().request("try")
        }
        for problem in problems.withLock({ $0 }) {
            #expect(!problem.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    @Test func whatClientsSayCannotBreakALine() async throws {
        let log = LogLines()
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.allowsControlCharactersInNames = true
        try await withServer(configuration: configuration, logger: log.logger) { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
            }
            adapter.onWebSocketEvent("fail") { _, payload, _ in
                throw RequestFailure(code: "X", message: payload.string ?? "")
            }
        } run: { server in
            let client = try await server.connect("/?id=eve%0A%1B%5B2J%00%E2%80%AEx")
            client.send("no event")
            client.emit("fail", "bob\nroot logged in \u{202E}")
            try await eventually { log.all.count { $0.contains("client=") } == 2 }
        }
        let lines = log.all.filter { $0.contains("client=") }
        for line in lines { #expect(line.contains(#"client=eve\u{a}\u{1b}[2J\u{0}\u{202e}x"#), "\(line)") }
        #expect(lines.contains { $0.contains(#"bob\u{a}root logged in \u{202e}"#) }, "\(lines)")
    }
}
