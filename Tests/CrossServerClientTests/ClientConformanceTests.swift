import CrossServerClient
import CrossServerWire
import Logging
import Testing

@testable import CrossServerClient

/// The cases that every client of the project must pass.
@Suite struct ClientConformanceTests {
    @Test(.timeLimit(.minutes(2)), arguments: try ConformanceCase.all())
    func behavesAsTheTableSays(_ testCase: ConformanceCase) async throws {
        let received = Inbox<String>()
        let script = try testCase.script { received.push($0) }
        try await withScriptedServer(script) { server in
            let client = try WebSocketConnector(
                url: server.url + (testCase.entry["path"]?.string ?? ""),
                parameters: testCase.parameters(),
                configuration: testCase.configuration(),
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            )
            let run = ConformanceRun(client, server, script, received: received)
            try run.listen(testCase)
            async let running: Void = client.run()
            defer { client.manualClose() }
            for (index, step) in testCase.steps.enumerated() {
                do {
                    try await run.perform(step)
                } catch {
                    throw FailedStep(description: "step \(index + 1), \(step.json): \(error)")
                }
            }
            try await run.finish(testCase)
            try await running
        }
    }

    @Test(arguments: try ConformanceCase.delays())
    func waitsBeforeAnAttempt(_ entry: Payload) throws {
        func number(_ key: String) throws -> Int { try #require(entry[key]).decode() }
        let policy = ReconnectPolicy(
            fastThreshold: try number("fastReconnectThreshold"),
            fastInterval: .milliseconds(try number("fastReconnectInterval")),
            maximumInterval: .milliseconds(try number("reconnectMaxInterval"))
        )
        let random = try #require(entry["random"]).decode(Double.self)
        let waits = try #require(entry["waits"]).decode([Int].self)
        #expect(!waits.isEmpty)
        for (index, wait) in waits.enumerated() {
            #expect(policy.delay(attempt: index + 1, random: random) == .milliseconds(wait))
        }
    }
}

private struct FailedStep: Error, CustomStringConvertible {
    var description: String
}
