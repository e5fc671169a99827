import CrossServer
import CrossServerTesting
import CrossServerWire
import NIOCore
import Synchronization
import Testing

private struct Ask: Event {
    static let name = "ask"
    var q: Int
    struct Reply: Codable, Equatable { var a: Int }
}

private struct Tell: Event {
    static let name = "tell"
}

private func withSockets(
    _ count: Int = 1,
    _ configuration: WebSocketCrossServerAdapter.Configuration = .init(),
    prepare: (WebSocketCrossServerAdapter) -> Void = { _ in },
    _ body: (RunningServer, [TestClient], [ClientSocket]) async throws -> Void
) async throws {
    try await withServer(configuration: configuration) { adapter in
        adapter.onWebSocketEvent(.connection) { socket, request in
            try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
        }
        prepare(adapter)
    } run: { server in
        var clients: [TestClient] = []
        var sockets: [ClientSocket] = []
        for number in 0..<count {
            clients.append(try await server.connect("/?id=\(number)"))
            try await eventually { server.adapter.socket(forID: "\(number)") != nil }
            sockets.append(try #require(server.adapter.socket(forID: "\(number)")))
        }
        try await body(server, clients, sockets)
    }
}

/// The id of a request that has come as the next message, which is checked to be as it should be.
private func requestId(_ client: TestClient, event: String = "ask", payload: String? = nil) async throws -> String {
    let text = try await client.nextText()
    let id = try #require(try Envelope(scanning: ByteBuffer(string: text)).requestId?.string)
    let middle = payload.map { #","payload":\#($0)"# } ?? ""
    #expect(text == #"{"event":"\#(event)"\#(middle),"requestId":"\#(id)"}"#)
    #expect(1...64 ~= id.utf8.count && id.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
    return id
}

private func code(of task: Task<Payload, any Error>) async -> CrossServerError.Code? {
    do {
        _ = try await task.value
        return nil
    } catch {
        return (error as? CrossServerError)?.code
    }
}

@Suite(.timeLimit(.minutes(2))) struct ClientRequestTests {
    @Test func theClientsReplyIsReturned() async throws {
        try await withSockets { server, clients, sockets in
            async let typed = sockets[0].emit(Ask(q: 1), timeout: .seconds(30))
            var id = try await requestId(clients[0], payload: #"{"q":1}"#)
            clients[0].send(#"{"payload":{"a": 2},"requestId":"\#(id)"}"#)
            #expect(try await typed == Ask.Reply(a: 2))

            async let raw = sockets[0].emit("ask", timeout: .seconds(30))
            id = try await requestId(clients[0])
            clients[0].send(#"{"requestId":"\#(id)","payload":[1, null]}"#)
            #expect(try await raw.json == "[1, null]")

            async let none: NoReply = sockets[0].emit(Tell(), timeout: .seconds(30))
            id = try await requestId(clients[0], event: "tell", payload: "{}")
            clients[0].send(binary: ByteBuffer(string: #"{"requestId":"\#(id)"}"#))
            _ = try await none
            #expect(server.adapter.statistics.outstandingRequests == 0)
            #expect(server.adapter.statistics.repliesIgnored == 0)
            #expect(server.adapter.statistics.invalidMessages == 0)
        }
    }

    @Test(arguments: [
        (#"{"code":"NO","message":"not today"}"#, "NO", "not today"), (#""why""#, "UNKNOWN", "why"),
        ("7", "UNKNOWN", "7"), (#"{"code":7,"message":[]}"#, "UNKNOWN", #"{"code":7,"message":[]}"#),
    ])
    func theClientsFailureIsThrown(error: String, code: String, message: String) async throws {
        try await withSockets { _, clients, sockets in
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(30)) }
            let id = try await requestId(clients[0])
            clients[0].send(#"{"payload":{"error":"x"},"requestId":"\#(id)","error":\#(error)}"#)
            let failure = await #expect(throws: RequestFailure.self) { try await reply.value }
            #expect(failure == RequestFailure(code: code, message: message))
        }
    }

    @Test func aReplyOfAnotherShapeIsNoReply() async throws {
        try await withSockets { _, clients, sockets in
            let reply = Task { try await sockets[0].emit(Ask(q: 1), timeout: .seconds(30)) }
            let id = try await requestId(clients[0], payload: #"{"q":1}"#)
            clients[0].send(#"{"payload":"two","requestId":"\#(id)","error":null}"#)
            await #expect(throws: DecodingError.self) { try await reply.value }
        }
    }

    /// The original's client does not know what `requestId` is.
    @Test func silenceEndsWithTheTimeoutAndALateReplyIsIgnored() async throws {
        try await withSockets { server, clients, sockets in
            let error = await #expect(throws: CrossServerError.self) {
                try await sockets[0].emit("ask", timeout: .milliseconds(20))
            }
            #expect(error?.code == .timeout)
            let id = try await requestId(clients[0])
            clients[0].send(#"{"payload":1,"requestId":"\#(id)"}"#)
            try await eventually { server.adapter.statistics.repliesIgnored == 1 }
            #expect(server.adapter.statistics.outstandingRequests == 0)
            #expect(server.adapter.statistics.invalidMessages == 0)
        }
    }

    @Test func eachRequestHasItsOwnTimeout() async throws {
        try await withSockets { server, clients, sockets in
            let long = Task { try await sockets[0].emit("long", timeout: .seconds(100)) }
            let longId = try await requestId(clients[0], event: "long")
            let socket = sockets[0]
            let others = [150, 50, 100, 0, -5].map { milliseconds in
                Task { try await socket.emit("ask", timeout: .milliseconds(milliseconds)) }
            }
            for other in others { #expect(await code(of: other) == .timeout) }
            #expect(server.adapter.statistics.outstandingRequests == 1)
            clients[0].send(#"{"payload":1,"requestId":"\#(longId)"}"#)
            #expect(try await long.value == 1)
        }
    }

    @Test func onlyTheClientThatWasAskedCanReplyAndOnce() async throws {
        try await withSockets(2) { server, clients, sockets in
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(100)) }
            let id = try await requestId(clients[0])
            clients[1].send(#"{"payload":"forged","requestId":"\#(id)"}"#)
            try await eventually { server.adapter.statistics.repliesIgnored == 1 }
            for _ in 0..<2 { clients[0].send(#"{"payload":"right","requestId":"\#(id)"}"#) }
            #expect(try await reply.value == "right")
            try await eventually { server.adapter.statistics.repliesIgnored == 2 }
        }
    }

    @Test(arguments: [
        #""\#(String(repeating: "a", count: 65))""#, #""""#, "7", "{}", "[]", "true", #""unknown""#, #""\u0000\ud83d""#,
    ])
    func otherIdsAreIgnored(id: String) async throws {
        try await withSockets { server, clients, sockets in
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(100)) }
            let right = try await requestId(clients[0])
            clients[0].send(#"{"payload":1,"requestId":\#(id)}"#)
            clients[0].send(#"{"payload":2,"requestId":"\#(right)","event":7}"#)
            #expect(try await reply.value == 2)
            #expect(server.adapter.statistics.repliesIgnored == 1)
            #expect(server.adapter.statistics.invalidMessages == 0)
            // Without an id there is no reply.
            clients[0].send(#"{"payload":1,"requestId":null}"#)
            try await eventually { server.adapter.statistics.invalidMessages == 1 }
        }
    }

    @Test func anEventWithARequestIdIsAnEvent() async throws {
        try await withSockets { adapter in
            adapter.onWebSocketEvent("echo") { socket, payload, reply in
                #expect(reply == nil)
                try socket.emit("echo", payload)
            }
        } _: { server, clients, sockets in
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(100)) }
            let id = try await requestId(clients[0])
            clients[0].send(#"{"event":"echo","payload":1,"requestId":"\#(id)"}"#)
            #expect(try await clients[0].next("echo") == 1)
            clients[0].send(#"{"payload":2,"requestId":"\#(id)"}"#)
            #expect(try await reply.value == 2)
        }
    }

    @Test func theEndOfTheConnectionEndsItsRequests() async throws {
        try await withSockets(2) { server, clients, sockets in
            let replies = (0..<10).map { _ in Task { try await sockets[0].emit("ask", timeout: .seconds(1_000)) } }
            let other = Task { try await sockets[1].emit("ask", timeout: .seconds(1_000)) }
            let id = try await requestId(clients[1])
            try await eventually { server.adapter.statistics.outstandingRequests == 11 }
            clients[0].terminate()
            for reply in replies { #expect(await code(of: reply) == .socketClosed) }
            let error = await #expect(throws: CrossServerError.self) {
                try await sockets[0].emit("ask", timeout: .seconds(1_000))
            }
            #expect(error?.code == .socketClosed)
            clients[1].send(#"{"requestId":"\#(id)"}"#)
            #expect(try await other.value == .absent)
        }
    }

    @Test func aSocketThatIsClosingIsAskedNothing() async throws {
        try await withSockets { _, clients, sockets in
            clients[0].setReading(false)
            sockets[0].close()
            let error = await #expect(throws: CrossServerError.self) {
                try await sockets[0].emit("ask", timeout: .seconds(1_000))
            }
            #expect(error?.code == .socketClosed)
        }
    }

    @Test func cancellationEndsTheWait() async throws {
        try await withSockets { server, clients, sockets in
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(1_000)) }
            let id = try await requestId(clients[0])
            reply.cancel()
            await #expect(throws: CancellationError.self) { try await reply.value }
            try await eventually { server.adapter.statistics.outstandingRequests == 0 }
            clients[0].send(#"{"payload":1,"requestId":"\#(id)"}"#)
            try await eventually { server.adapter.statistics.repliesIgnored == 1 }
        }
    }

    @Test func requestsOfOneClientAreBounded() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumOutstandingRequestsPerClient = 3
        try await withSockets(1, configuration) { server, clients, sockets in
            let replies = (0..<3).map { _ in Task { try await sockets[0].emit("ask", timeout: .seconds(1_000)) } }
            try await eventually { server.adapter.statistics.outstandingRequests == 3 }
            let error = await #expect(throws: CrossServerError.self) {
                try await sockets[0].emit("ask", timeout: .seconds(1_000))
            }
            #expect(error?.code == .overloaded)
            for _ in replies {
                clients[0].send(#"{"payload":1,"requestId":"\#(try await requestId(clients[0]))"}"#)
            }
            for reply in replies { #expect(try await reply.value == 1) }
            #expect(clients[0].waitingMessages.isEmpty)
        }
    }

    /// The client's next message waits for the handler, the reply must not.
    @Test func aHandlerMayAskItsOwnClient() async throws {
        try await withSockets { adapter in
            adapter.onWebSocketEvent("start") { socket, payload, reply in
                reply?(try await socket.emit("ask", payload, timeout: .seconds(30)))
            }
            adapter.onWebSocketEvent("next") { socket, _, _ in try socket.emit("nexted") }
        } _: { server, clients, sockets in
            clients[0].send(#"{"event":"start","payload":1,"callbackId":"c"}"#)
            clients[0].send(#"{"event":"next"}"#)
            let id = try await requestId(clients[0], payload: "1")
            clients[0].send(#"{"payload":{"n":1},"requestId":"\#(id)"}"#)
            #expect(try await clients[0].nextText() == #"{"payload":{"n":1},"callbackId":"c"}"#)
            #expect(try await clients[0].nextText() == #"{"event":"nexted"}"#)
        }
    }

    @Test func messageListenersSeeReplies() async throws {
        let seen = Mutex<[String]>([])
        try await withSockets { adapter in
            adapter.onWebSocketEvent(.message) { _, message in
                seen.withLock { $0.append(String(buffer: message.payload)) }
            }
            adapter.onWebSocketEvent("start") { socket, _, _ in _ = try await socket.emit("ask", timeout: .seconds(30))
            }
        } _: { server, clients, sockets in
            clients[0].send(#"{"event":"start"}"#)
            let during = #"{"requestId":"\#(try await requestId(clients[0]))"}"#
            clients[0].send(during)
            async let reply = sockets[0].emit("ask", timeout: .seconds(30))
            let idle = #"{"requestId":"\#(try await requestId(clients[0]))"}"#
            clients[0].send(idle)
            clients[0].send(idle)
            _ = try await reply
            try await eventually { seen.withLock { $0.count } == 4 }
            #expect(seen.withLock { $0.sorted() } == [#"{"event":"start"}"#, during, idle, idle].sorted())
            #expect(server.adapter.statistics.repliesIgnored == 1)
        }
    }

    @Test func aServerThatStopsAsksNothing() async throws {
        try await withSockets { server, clients, sockets in
            let (stopping, continuation) = AsyncStream.makeStream(of: CrossServerError.Code?.self)
            server.adapter.onWebSocketEvent(.close) { _, _, _, _ in
                do {
                    _ = try await sockets[0].emit("ask", timeout: .seconds(30))
                } catch {
                    continuation.yield((error as? CrossServerError)?.code)
                }
            }
            let reply = Task { try await sockets[0].emit("ask", timeout: .seconds(1_000)) }
            _ = try await requestId(clients[0])
            await server.beginShutdown()
            #expect(await code(of: reply) == .socketClosed)
            for await code in stopping {
                #expect(code == .stopping)
                break
            }
        }
    }

    @Test func manyRequestsFromManyThreads() async throws {
        try await withSockets(4) { server, clients, sockets in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for client in clients {
                    tasks.addTask {
                        for _ in 0..<500 {
                            let envelope = try Envelope(scanning: try await client.nextMessage().payload)
                            let id = try #require(envelope.requestId?.string)
                            client.send(#"{"payload":\#(envelope.payload.json),"requestId":"\#(id)"}"#)
                        }
                    }
                }
                for number in 0..<2_000 {
                    tasks.addTask {
                        let reply = try await sockets[number % 4].emit("ask", Payload(number), timeout: .seconds(100))
                        #expect(reply == Payload(number))
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(server.adapter.statistics.outstandingRequests == 0)
        }
    }
}
