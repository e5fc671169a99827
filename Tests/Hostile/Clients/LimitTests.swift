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
            let filler = Payload(String(repeating: "x", count: 96 << 10))
            for number in 0..<200 {
                try server.adapter.broadcast("n", [Payload(number), filler])
                // Its reply comes behind the messages, so that few of them wait for it at any time.
                if number % 4 == 0 { _ = try await other.request("echo", 1) }
            }
            try await eventually(within: .seconds(120)) { other.waitingMessages.count == 200 }
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
            #expect(numbers.count < 200)
            #expect(numbers.contains(199) == oldest)
            #expect(server.adapter.statistics.messagesDropped >= 200 - numbers.count)
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

    /// Each namespace is a channel of the bus.
    @Test func namespacesPerClientAreBounded() async throws {
        var configuration = Configuration()
        configuration.limits.maximumNamespacesPerClient = 2
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("join") { socket, payload, reply async throws in
                if socket.id == nil { try adapter.setUserSocket("1", socket) }
                try await adapter.joinRoom("r", in: payload.string ?? "", "1")
                reply?(.absent)
            }
        } run: { server in
            let client = try await server.connect()
            for namespace in ["a", "b", "a"] { _ = try await client.request("join", Payload(namespace)) }
            let error = await #expect(throws: CrossServerError.self) {
                try await server.adapter.joinRoom("r", in: "c", "1")
            }
            #expect(error?.code == .tooManyRooms)
        }
    }
}
