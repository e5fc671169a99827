import CrossServer
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct LimitTests {
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

    @Test func largeMessagesCloseWith1009AndDisturbNobody() async throws {
        try await self.withEcho {
            $0.limits.maximumMessageSize = 1_000
        } _: { server in
            let client = try await server.connect()
            let other = try await server.connect()
            #expect(try await client.request("echo", Payload(String(repeating: "x", count: 900))).json.count == 902)
            client.send(String(repeating: "x", count: 1_001))
            #expect(try await client.closed().code == .messageTooBig)
            #expect(try await other.request("echo", 1) == 1)
        }
    }

    @Test func inflatedMessagesAreBounded() async throws {
        try await self.withEcho {
            $0.limits.maximumMessageSize = 100_000
            $0.compression = PerMessageDeflate()
        } _: { server in
            let client = try await server.connect("/", compression: PerMessageDeflate())
            let text = String(repeating: "x", count: 90_000)
            #expect(try await client.request("echo", Payload(text)) == Payload(text))
            client.send(String(repeating: "x", count: 10_000_000))
            #expect(try await client.closed().code == .messageTooBig)
        }
    }

    @Test func connectionsAreBounded() async throws {
        try await self.withEcho {
            $0.limits.maximumConnections = 2
        } _: { server in
            let clients = [try await server.connect(), try await server.connect()]
            let error = await #expect(throws: WebSocketHandshakeError.self) { try await server.connect() }
            guard case .rejected(status: 503, _, _)? = error else {
                Issue.record("the third connection got \(String(describing: error))")
                return
            }
            clients[0].close()
            try await eventually { server.adapter.socketClientCount == 1 }
            let third = try await server.connect()
            #expect(try await third.request("echo", 1) == 1)
        }
    }

    @Test func connectionsPerAddressAreBounded() async throws {
        try await self.withEcho {
            $0.limits.maximumConnectionsPerAddress = 1
        } _: { server in
            let first = try await server.connect()
            let error = await #expect(throws: WebSocketHandshakeError.self) { try await server.connect() }
            guard case .rejected(status: 429, _, _)? = error else {
                Issue.record("the second connection got \(String(describing: error))")
                return
            }
            first.terminate()
            try await eventually { server.adapter.socketClientCount == 0 }
            _ = try await server.connect()
        }
    }

    @Test func messagesOverTheRateCloseTheClient() async throws {
        try await self.withEcho {
            $0.limits.rate = .init(messagesPerSecond: 1, burst: 5)
        } _: { server in
            let client = try await server.connect()
            for _ in 0..<20 { client.emit("echo", 1) }
            let close = try await client.closed()
            #expect(close.code == .policyViolation)
            #expect(close.reason == "rate limit")
        }
    }

    @Test func messagesOverTheByteRateAreDropped() async throws {
        try await self.withEcho {
            $0.limits.rate = .init(bytesPerSecond: 0.001, burst: 1_000_000, action: .drop)
        } _: { server in
            let client = try await server.connect()
            let text = Payload(String(repeating: "x", count: 600))
            client.send(#"{"event":"echo","payload":\#(text.json),"callbackId":"first"}"#)
            client.send(#"{"event":"echo","payload":\#(text.json),"callbackId":"second"}"#)
            client.send(#"{"event":"echo","payload":1,"callbackId":"third"}"#)
            #expect(try await client.nextText().contains("first"))
            #expect(try await client.nextText() == #"{"payload":1,"callbackId":"third"}"#)
            #expect(server.adapter.statistics.messagesOverRate == 1)
        }
    }

    @Test func aSlowClientIsClosedAndOthersDoNotNotice() async throws {
        try await self.withEcho {
            $0.limits.closeTimeout = .milliseconds(200)
        } _: { server in
            let slow = try await server.connect()
            let other = try await server.connect()
            slow.setReading(false)
            let text = Payload(String(repeating: "x", count: 64 << 10))
            for number in 0..<4_000 {
                try server.adapter.broadcast("big", text)
                if number % 16 == 0 { _ = try await other.request("echo", 1) }
                if server.adapter.socketClientCount == 1 { break }
            }
            try await eventually { server.adapter.socketClientCount == 1 }
            #expect(try await other.request("echo", 2) == 2)
        }
    }

    @Test(arguments: [true, false])
    func messagesToASlowClientMayBeDropped(oldest: Bool) async throws {
        try await self.withEcho {
            $0.limits.outbound = OutboundLimit(
                maximumWaitingBytes: 1 << 20,
                policy: oldest ? .dropOldest : .dropNewest
            )
        } _: { server in
            let slow = try await server.connect()
            let other = try await server.connect()
            _ = try await slow.request("echo", 0)
            slow.setReading(false)
            let filler = Payload(String(repeating: "x", count: 32 << 10))
            for number in 0..<1_000 {
                try server.adapter.broadcast("n", [Payload(number), filler])
                // Its reply comes behind the messages, so that few of them wait for it at any time.
                if number % 16 == 0 { _ = try await other.request("echo", 1) }
            }
            try await eventually(within: .seconds(120)) { other.waitingMessages.count == 1_000 }
            slow.setReading(true)
            try server.adapter.broadcast("end")
            // With the newest dropped the end itself may be among them: a reply comes once there is room again.
            var numbers: [Int] = []
            try await eventually(within: .seconds(120)) {
                try server.adapter.broadcast("more")
                return slow.waitingMessages.last.map { String(buffer: $0.payload) } == #"{"event":"more"}"#
            }
            for message in slow.waitingMessages {
                let envelope = try Envelope(scanning: message.payload)
                if envelope.event == "n", let number = envelope.payload.array?.first {
                    numbers.append(Int(number.json) ?? -1)
                }
            }
            #expect(numbers == numbers.sorted())
            #expect(numbers.count < 1_000)
            #expect(numbers.contains(999) == oldest)
            #expect(server.adapter.statistics.messagesDropped >= 1_000 - numbers.count)
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

    @Test func longEventNamesAreInvalid() async throws {
        try await self.withEcho {
            $0.limits.maximumNameLength = 10
        } _: { server in
            let client = try await server.connect()
            client.emit(String(repeating: "e", count: 11), 1)
            #expect(try await client.request("echo", 1) == 1)
            #expect(server.adapter.statistics.invalidMessages == 1)
        }
    }

    @Test func invalidMessagesKeepTheConnection() async throws {
        try await self.withEcho { _ in
        } _: { server in
            let client = try await server.connect()
            for text in ["null", "[]", "\"x\"", "{}", "{\"event\":1}", "no", String(repeating: "[", count: 100_000)] {
                client.send(text)
            }
            #expect(try await client.request("echo", 1) == 1)
            #expect(server.adapter.statistics.invalidMessages == 7)
        }
    }

    @Test func clientsThatDoNotAnswerPingsAreCut() async throws {
        let codes = Mutex<[CloseCode]>([])
        var configuration = Configuration()
        // Longer than an answer takes on a busy machine.
        configuration.pingInterval = .seconds(2)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent(.close) { _, _, code, _ in codes.withLock { $0.append(code) } }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let answering = try await server.connect()
            let silent = try await server.connect()
            silent.setReading(false)
            try await eventually { server.adapter.socketClientCount == 1 }
            #expect(codes.withLock { $0 } == [.abnormalClosure])
            #expect(try await answering.request("echo", 1) == 1)
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
