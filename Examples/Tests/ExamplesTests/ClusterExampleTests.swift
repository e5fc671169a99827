import CrossServer
import CrossServerRedis
import CrossServerTesting
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
