import CrossServer
import CrossServerTesting
import Synchronization
import Testing

/// Clients that read late, or do not read for a while; and limits that make no sense.
@Suite(.timeLimit(.minutes(2))) struct SlowClientTests {
    private typealias Configuration = WebSocketCrossServerAdapter.Configuration

    private func withEcho(
        _ configure: (inout WebSocketCrossServerAdapter.Configuration) -> Void,
        _ body: (RunningServer) async throws -> Void
    ) async throws {
        var configuration = Configuration()
        configure(&configuration)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            try await body(server)
        }
    }

    /// Part of it is written to the socket, part waits in the channel, and what comes then must not overtake that.
    @Test(.timeLimit(.minutes(3))) func aClientThatReadsLateGetsAllInOrder() async throws {
        try await self.withEcho {
            $0.limits.outbound = OutboundLimit(maximumWaitingBytes: 1 << 30, policy: .dropNewest)
        } _: { server in
            let late = try await server.connect()
            let sizes = [1, 3 << 10, 5 << 10, 20 << 10, 300 << 10]
            for round in 0..<3 {
                late.setReading(false)
                for number in 0..<200 {
                    let text = Payload(String(repeating: "x", count: sizes[number % sizes.count]))
                    try server.adapter.broadcast("n", [Payload(number), text])
                    if number % 16 == 0 { late.emit("echo", Payload(number)) }
                }
                late.setReading(true)
                for number in 0..<200 {
                    let payload = try #require(try await late.next("n").array)
                    #expect(Int(payload[0].json) == number)
                    #expect(payload[1].string?.utf8.count == sizes[number % sizes.count])
                }
                #expect(try await late.request("echo", Payload(round)) == Payload(round))
            }
            #expect(server.adapter.statistics.messagesDropped == 0)
        }
    }

    /// Whether a message is written at once, with others at the end of the turn, or when the client reads again.
    @Test(.timeLimit(.minutes(3))) func messagesKeepTheirOrderHoweverTheyAreWritten() async throws {
        var configuration = Configuration()
        configuration.limits.outbound = OutboundLimit(maximumWaitingBytes: 1 << 30, policy: .dropNewest)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
            adapter.onWebSocketEvent("burst") { socket, payload, reply in
                let parts = payload.array ?? []
                let (number, size) = (Int(parts[0].json) ?? 0, Int(parts[1].json) ?? 0)
                let text = Payload(String(repeating: "x", count: size))
                for part in 0..<4 {
                    // The reply takes another way.
                    if part == number % 3 { reply?(payload) }
                    let message: Payload = [Payload(number), text, Payload(part)]
                    if part == 2 { try adapter.broadcast("n", message) } else { try socket.emit("n", message) }
                }
            }
        } run: { server in
            let client = try await server.connect()
            for round in 0..<12 {
                // Turns with one message each: the next one does not wait for others.
                for number in 0..<10 { #expect(try await client.request("echo", Payload(number)) == Payload(number)) }
                let bursts = round.isMultiple(of: 3) ? 40 : 3
                client.setReading(bursts == 3)
                let numbers = (0..<bursts).map { round * 40 + $0 }
                for number in numbers {
                    let size = [1, 100, 5_000, 70_000][(number + round) % 4]
                    client.send(#"{"event":"burst","payload":[\#(number),\#(size)],"callbackId":"\#(number)"}"#)
                }
                client.setReading(true)
                for number in numbers {
                    var found: [String] = []
                    for _ in 0..<5 {
                        let message = try Payload(json: try await client.nextText())
                        let part = message["payload"]?.array?.last?.json ?? ""
                        found.append(message["callbackId"] == nil ? part : "reply")
                    }
                    var expected = ["0", "1", "2", "3"]
                    expected.insert("reply", at: number % 3)
                    #expect(found == expected)
                }
            }
            #expect(server.adapter.statistics.messagesDropped == 0)
        }
    }

    @Test func clientsInTheBackgroundAreClosed() async throws {
        var configuration = Configuration()
        configuration.backgroundTimeout = .milliseconds(100)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("background") { socket, _, reply in
                socket.enterBackground()
                reply?(.absent)
            }
            adapter.onWebSocketEvent("both") { socket, _, reply in
                socket.enterBackground()
                socket.enterForeground()
                reply?(.absent)
            }
        } run: { server in
            let away = try await server.connect()
            let back = try await server.connect()
            _ = try await back.request("both")
            _ = try await away.request("background")
            #expect(try await away.closed().code == .backgroundTimeout)
            _ = try await back.request("both")
        }
    }

    @Test(
        arguments: [
            { $0.limits.maximumMessageSize = 0 }, { $0.pingInterval = .zero }, { $0.path = "chat" },
            { $0.limits.rate = .init(messagesPerSecond: -1) },
        ] as [@Sendable (inout WebSocketCrossServerAdapter.Configuration) -> Void]
    )
    func senselessOptionsAreRefused(
        change: @Sendable (inout WebSocketCrossServerAdapter.Configuration) -> Void
    ) async throws {
        var configuration = Configuration()
        change(&configuration)
        let adapter = WebSocketCrossServerAdapter(configuration: configuration)
        let error = await #expect(throws: CrossServerError.self) { try await adapter.run() }
        #expect(error?.code == .invalidConfiguration)
    }
}
