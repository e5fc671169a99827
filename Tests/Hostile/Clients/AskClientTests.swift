import CrossServer
import CrossServerTesting
import Testing

@testable import CrossServerCommand

/// The handlers of `crossserver serve` that wait for somebody else, against one who sends without end.
@Suite(.timeLimit(.minutes(2))) struct AskClientTests {
    @Test func aFloodOfQuestionsStaysWithinTheQueue() async throws {
        try await withServer {
            $0.addDemonstrationHandlers()
        } run: { server in
            let asked = try await server.connect("/?id=asked")
            let flooder = try await server.connect("/?id=flooder")
            let other = try await server.connect("/?id=other")
            let limits = server.adapter.configuration.limits
            let count = 3_000
            for number in 0..<count {
                flooder.send(#"{"event":"askClient","payload":{"id":"asked","text":"?"},"callbackId":"\#(number)"}"#)
            }
            for number in 0..<count {
                let question = try Envelope(scanning: try await asked.nextMessage().payload)
                let id = try #require(question.requestId?.string)
                let statistics = server.adapter.statistics
                #expect(statistics.outstandingRequests <= limits.maximumConcurrentHandlersPerClient)
                // What was read at once is decoded at once; besides that no more is read than may wait.
                if number == 0 { #expect(statistics.messagesReceived < count) }
                if number % 500 == 0 { #expect(try await other.request("echo", 1) == 1) }
                asked.send(#"{"payload":"!","requestId":"\#(id)"}"#)
            }
            var answers: Set<String> = []
            for _ in 0..<count {
                let answer = try Envelope(scanning: try await flooder.nextMessage().payload)
                #expect(answer.payload == ["answer": "!"])
                answers.insert(answer.callbackId?.string ?? "")
            }
            #expect(answers.count == count)
        }
    }
}
