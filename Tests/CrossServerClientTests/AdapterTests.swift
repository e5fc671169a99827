import CrossServer
import CrossServerClient
import CrossServerTesting
import Logging
import NIOSSL
import Synchronization
import Testing

private struct Sum: Event {
    static let name = "sum"
    var numbers: [Int]
    struct Reply: Codable, Sendable { var total: Int }
}

private struct Notice: Event {
    static let name = "notice"
    var text: String
}

/// The client against the server of this package.
@Suite struct AdapterTests {
    @Test(.timeLimit(.minutes(2)), arguments: [false, true])
    func requestsAndBroadcasts(isCompressed: Bool) async throws {
        var server = WebSocketCrossServerAdapter.Configuration()
        server.compression = isCompressed ? PerMessageDeflate() : nil
        try await withServer(configuration: server) { adapter in
            adapter.onWebSocketEvent(Sum.self) { sum, _ in Sum.Reply(total: sum.numbers.reduce(0, +)) }
            adapter.onWebSocketEvent("fail") { _, _, _ in throw RequestFailure(code: "NO", message: "no") }
        } run: { server in
            let seen = EventLog()
            let configuration = WebSocketConnector.Configuration.quick {
                $0.compression = isCompressed ? PerMessageDeflate() : nil
                $0.pingInterval = .milliseconds(20)
            }
            try await withClient(server.url("/?id=7"), configuration) { client in
                client.on(Notice.self) { notice in seen.add(notice.text) }
                client.on(.pong) { _ in seen.add("pong") }
            } _: { client, log in
                try await log.wait(for: "open")
                #expect(try await client.emit(Sum(numbers: Array(1...1_000))).total == 500_500)
                let failure = await #expect(throws: RequestFailure.self) { try await client.emit("fail") }
                #expect(failure == RequestFailure(code: "NO", message: "no"))
                try server.adapter.broadcast(Notice(text: "hello"))
                try await seen.wait(for: "hello")
                try await seen.wait(for: "pong")
                #expect(log.all == ["open"])
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func manyRequestsAtOnceFromManyTasks() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            try await withClient(server.url()) { client, log in
                try await log.wait(for: "open")
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for number in 0..<1_000 {
                        tasks.addTask {
                            let reply = try await client.emit("echo", Payload(number))
                            #expect(reply == Payload(number))
                        }
                    }
                    try await tasks.waitForAll()
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func theServersStopIsACloseThatAllowsToReconnect() async throws {
        try await withServer { server in
            try await withClient(server.url()) { _, log in
                try await log.wait(for: "open")
                await server.beginShutdown()
                try await eventually { log.all.count == 2 }
                #expect(log.all[1].hasPrefix("close 1001"))
                #expect(CloseCode.goingAway.allowsReconnect)
            }
        }
    }
}
