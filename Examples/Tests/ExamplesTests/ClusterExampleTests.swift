import CrossServer
import CrossServerRedis
import CrossServerTesting
import Foundation
import Testing

@Suite struct ClusterExampleTests {
    @Test(.timeLimit(.minutes(2)))
    func theSenderHearsFromEveryServer() async throws {
        try await withBroker { broker in
            let observer = makeServer("observer", try RedisBus(broker))
            try await whileRunning([observer]) {
                try await observer.ready()
                let nodes = try Program("cluster-nodes", ["serverA", "serverB", "--redis", broker])
                defer { nodes.terminate() }
                try await eventually { try await observer.hears(["serverA", "serverB"]) }
                let all = try await Program("cluster-sender", ["--redis", broker, "--except-self"]).output()
                #expect(all.contains("serverA answers: serverA heard you"))
                #expect(all.contains("serverB answers: serverB heard you"))
                // The observer does not know the event, and answers that.
                #expect(all.contains("no answer from observer: failed: UNKNOWN_EVENT"))
                #expect(all.contains("some have answered: serverA, serverB\n"))
                let targets = ["--to", "serverB", "--to", "senderA"]
                let some = try await Program("cluster-sender", ["--redis", broker] + targets).output()
                #expect(some.contains("senderA says hello\n"))
                #expect(some.contains("all have answered: senderA, serverB\n"))
                #expect(!some.contains("serverA answers"))
                nodes.terminate()
                let heard = try await nodes.output()
                #expect(heard.contains("serverA: senderA says hello\n"))
                #expect(heard.contains("serverA: subscriber ready at 127.0.0.1:"))
            }
        }
    }
}

extension WebSocketCrossServerAdapter {
    fileprivate func hears(_ names: [String]) async throws -> Bool {
        let question: Payload = ["content": "are you there?"]
        return try await self.emitCrossServer("say", question, to: .servers(names), timeout: .seconds(1)).isComplete
    }
}

/// A program of this package, which was built beside the tests.
private final class Program {
    private let process = Process()
    private let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).txt")
    private let ended = AsyncStream<Void>.makeStream()

    init(_ name: String, _ arguments: [String]) throws {
        try Data().write(to: self.file)
        self.process.executableURL = Bundle.main.bundleURL.appending(path: name)
        self.process.arguments = arguments
        self.process.standardOutput = try FileHandle(forWritingTo: self.file)
        let continuation = self.ended.continuation
        self.process.terminationHandler = { _ in continuation.finish() }
        try self.process.run()
    }

    func terminate() {
        if self.process.isRunning { self.process.terminate() }
    }

    /// What it has printed until its end.
    func output() async throws -> String {
        for await _ in self.ended.stream {}
        defer { try? FileManager.default.removeItem(at: self.file) }  // The system does it too, later.
        return String(decoding: try Data(contentsOf: self.file), as: UTF8.self)
    }
}
