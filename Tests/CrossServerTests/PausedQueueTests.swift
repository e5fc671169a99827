import CrossServer
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

/// A client that sends more than its handlers take.
@Suite(.timeLimit(.minutes(2))) struct PausedQueueTests {
    /// The server asks the client, who sends messages before it answers.
    private func sendBeforeTheReply(
        _ payload: Payload,
        count: Int,
        timeout: Duration = .seconds(60),
        _ limits: (inout Limits) -> Void
    ) async throws -> Payload {
        let handled = Mutex(0)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        limits(&configuration.limits)
        return try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("start") { socket, _, reply in
                do {
                    reply?(try await socket.emit("ask", timeout: timeout))
                } catch let error as CrossServerError {
                    reply?(Payload(error.code.description))
                }
            }
            adapter.onWebSocketEvent("n") { _, _, _ in handled.withLock { $0 += 1 } }
        } run: { server in
            let client = try await server.connect()
            client.send(#"{"event":"start","callbackId":"c"}"#)
            let id = try #require(try Envelope(scanning: try await client.nextMessage().payload).requestId?.string)
            for _ in 0..<count { client.emit("n", payload) }
            client.send(#"{"payload":7,"requestId":"\#(id)"}"#)
            let reply = try Envelope(scanning: try await client.nextMessage().payload)
            // None is lost.
            try await eventually { handled.withLock { $0 } == count }
            return reply.payload
        }
    }

    @Test func aReplyPassesManyMessagesThatWait() async throws {
        let reply = try await self.sendBeforeTheReply(.absent, count: 1_000) { $0.maximumQueuedMessages = 8 }
        #expect(reply == 7)
    }

    @Test func aReplyPassesLargeMessagesThatWait() async throws {
        let text = Payload(String(repeating: "x", count: 300_000))
        let reply = try await self.sendBeforeTheReply(text, count: 5) { _ in }
        #expect(reply == 7)
    }

    /// Beyond the bounds the request ends with its timeout, and the messages are handled.
    @Test func readingAheadIsBounded() async throws {
        let text = Payload(String(repeating: "x", count: 100_000))
        let reply = try await self.sendBeforeTheReply(text, count: 15, timeout: .milliseconds(500)) {
            $0.maximumReadAheadBytes = 100_000
        }
        #expect(reply == "TIMEOUT")
    }

    private func withHangingHandler(
        _ configure: (inout WebSocketCrossServerAdapter.Configuration) -> Void,
        _ body: (RunningServer, TestClient) async throws -> Void
    ) async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumQueuedMessages = 8
        configure(&configuration)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("hang") { _, _, reply in
                reply?(.absent)
                try await Task.sleep(for: .seconds(3_600))
            }
            adapter.onWebSocketEvent("n") { _, _, _ in }
        } run: { server in
            let client = try await server.connect()
            _ = try await client.request("hang")
            for _ in 0..<1_000 { client.emit("n") }
            try await body(server, client)
        }
    }

    /// The server asks for a sign of life, and looks for it.
    @Test func aCloseFrameIsFoundBehindMessagesThatWait() async throws {
        try await self.withHangingHandler {
            // The client has to take part within that time, on a busy machine too.
            $0.pingInterval = .seconds(2)
        } _: { server, client in
            client.close(4_123, reason: "enough")
            #expect(try await client.closed() == WebSocketClose(code: 4_123, reason: "enough", wasClean: true))
            try await eventually { server.adapter.socketClientCount == 0 }
        }
    }

    @Test func aClientWhoseHandlersDoNotGetOnIsClosed() async throws {
        try await self.withHangingHandler {
            $0.limits.maximumPause = .milliseconds(200)
            $0.limits.handshakeTimeout = .seconds(1)
        } _: { server, client in
            #expect(try await client.closed().code == .tryAgainLater)
            try await eventually { server.adapter.socketClientCount == 0 }
        }
    }

    /// Without the echo its connector would give up a connection on which all is well.
    @Test func heartbeatsAreAnsweredBehindMessagesThatWait() async throws {
        let (gate, opening) = AsyncStream.makeStream(of: Void.self)
        let handled = Mutex(0)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumQueuedMessages = 8
        // While the server waits for a pong it reads ahead in any case.
        configuration.pingInterval = .seconds(3_600)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("hang") { _, _, reply in
                for await _ in gate {}
                reply?(.absent)
            }
            adapter.onWebSocketEvent("n") { _, _, _ in handled.withLock { $0 += 1 } }
        } run: { server in
            defer { opening.finish() }
            let client = try await server.connect()
            client.send("")
            #expect(try await client.nextText() == "")
            client.send(#"{"event":"hang","callbackId":"c"}"#)
            for number in 1...5 {
                for _ in 0..<100 { client.emit("n") }
                client.send("")
                #expect(try await client.nextText() == "", "heartbeat \(number)")
            }
            #expect(handled.withLock { $0 } == 0)
            opening.finish()
            #expect(try Envelope(scanning: try await client.nextMessage().payload).callbackId?.string == "c")
            try await eventually { handled.withLock { $0 } == 500 }
        }
    }
}
