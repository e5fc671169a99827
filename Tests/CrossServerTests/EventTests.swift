import CrossServer
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

private struct Say: Event {
    static let name = "say"
    var msg: String
    struct Reply: Codable, Equatable { var heardBy: Int }
}

private struct Note: Event {
    static let name = "note"
    var text: String
}

@Suite(.timeLimit(.minutes(2))) struct EventTests {
    @Test func repliesWithTheOriginalsBytes() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent("raw") { _, payload, reply in reply?(payload) }
            adapter.onWebSocketEvent("nothing") { _, _, reply in reply?(.absent) }
            adapter.onWebSocketEvent("null") { _, _, reply in reply?(.null) }
        } run: { server in
            let client = try await server.connect()
            client.send(#"{"event":"raw","payload":{"a": 1},"callbackId":"x-1"}"#)
            #expect(try await client.nextText() == #"{"payload":{"a": 1},"callbackId":"x-1"}"#)
            client.send(#"{"event":"nothing","callbackId":"x-2"}"#)
            #expect(try await client.nextText() == #"{"callbackId":"x-2"}"#)
            client.send(#"{"event":"null","callbackId":"x-3"}"#)
            #expect(try await client.nextText() == #"{"payload":null,"callbackId":"x-3"}"#)
        }
    }

    @Test func typedEventsReplyWithTheReturnedValue() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(Say.self) { say, _ in Say.Reply(heardBy: say.msg.count) }
            adapter.onWebSocketEvent(Note.self) { note, socket in try socket.emit(Note(text: note.text + "!")) }
        } run: { server in
            let client = try await server.connect()
            #expect(try await client.request("say", ["msg": "four"]).decode(Say.Reply.self) == .init(heardBy: 4))
            #expect(try await client.request("note", ["text": "hi"]) == .absent)
            #expect(try await client.next("note").json == #"{"text":"hi!"}"#)
            let failure = await #expect(throws: RequestFailure.self) { try await client.request("say", ["no": 1]) }
            #expect(failure?.code == "INVALID_PAYLOAD")
        }
    }

    @Test func asynchronousHandlersKeepTheOrderOfOneClient() async throws {
        let (releases, continuation) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent("slow") { _, payload, reply in
                for await _ in releases { break }
                reply?(payload)
            }
            adapter.onWebSocketEvent("quick") { _, payload, reply in reply?(payload) }
        } run: { server in
            let client = try await server.connect()
            for number in 0..<10 {
                client.send(
                    #"{"event":"\#(number % 2 == 0 ? "slow" : "quick")","payload":\#(number),"callbackId":"c"}"#
                )
            }
            // All is there before the first handler ends.
            try await eventually { server.adapter.statistics.messagesReceived == 10 }
            for _ in 0..<5 { continuation.yield() }
            for number in 0..<10 {
                #expect(try await client.nextText() == #"{"payload":\#(number),"callbackId":"c"}"#)
            }
        }
    }

    @Test func aSlowHandlerKeepsNobodyElseWaiting() async throws {
        let (release, continuation) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent("wait") { _, _, reply in
                for await _ in release { break }
                reply?(.absent)
            }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let slow = try await server.connect()
            let other = try await server.connect()
            slow.emit("wait")
            // The heartbeat is answered although a handler is running.
            slow.send("")
            #expect(try await slow.nextText() == "")
            #expect(try await other.request("echo", 1) == 1)
            // More than the queue holds: reading stops, and goes on when the handler has ended.
            for number in 0..<500 { slow.send(#"{"event":"echo","payload":\#(number),"callbackId":"c"}"#) }
            #expect(try await other.request("echo", 2) == 2)
            continuation.yield()
            for number in 0..<500 {
                #expect(try await slow.nextText() == #"{"payload":\#(number),"callbackId":"c"}"#)
            }
        }
    }

    @Test func whatHandlersThrowIsAnsweredWithoutDetails() async throws {
        struct Secret: Error {}
        try await withServer { adapter in
            adapter.onWebSocketEvent("plain") { _, _, _ in throw Secret() }
            adapter.onWebSocketEvent("async") { _, _, _ in
                await Task.yield()
                throw Secret()
            }
            adapter.onWebSocketEvent("told") { _, _, _ in throw RequestFailure(code: "NO", message: "not today") }
        } run: { server in
            let client = try await server.connect()
            for event in ["plain", "async"] {
                let failure = await #expect(throws: RequestFailure.self) { try await client.request(event) }
                #expect(failure == .internalError)
            }
            client.send(#"{"event":"told","callbackId":"~c"}"#)
            #expect(
                try await client.nextText()
                    == #"{"payload":{"error":"not today"},"callbackId":"~c","error":{"code":"NO","message":"not today"}}"#
            )
            #expect(server.adapter.statistics.handlerFailures == 2)
            let unknown = await #expect(throws: RequestFailure.self) { try await client.request("unknown") }
            #expect(unknown?.code == "UNKNOWN_EVENT")
        }
    }

    /// It would take a failure for an answer.
    @Test func aClientOfTheOriginalHearsNothingOfFailures() async throws {
        struct Secret: Error {}
        try await withServer { adapter in
            adapter.onWebSocketEvent("throws") { _, _, _ in throw Secret() }
            adapter.onWebSocketEvent("fails") { _, _, reply in reply?.fail(.invalidPayload("no")) }
            adapter.onWebSocketEvent(Say.self) { say, _ in Say.Reply(heardBy: say.msg.count) }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let client = try await server.connect()
            for event in ["throws", "fails", "say", "unknown"] {
                client.send(#"{"event":"\#(event)","callbackId":"mwpq9f93-qrat-1"}"#)
                client.send(#"{"event":"\#(event)","callbackId":"a~"}"#)
            }
            client.send(#"{"event":"echo","payload":1,"callbackId":"mwpq9f93-qrat-2"}"#)
            #expect(try await client.nextText() == #"{"payload":1,"callbackId":"mwpq9f93-qrat-2"}"#)
            client.send(#"{"event":"unknown","callbackId":"~x"}"#)
            #expect(try await client.nextText().contains(#""callbackId":"~x","error":{"code":"UNKNOWN_EVENT""#))
            #expect(server.adapter.statistics.handlerFailures == 2)
        }
    }

    @Test func listenersAreRemovedByHandleTagAndEvent() async throws {
        let heard = Mutex<[String]>([])
        func note(_ name: String) -> @Sendable (ClientSocket, Payload, Reply?) throws -> Void {
            { _, _, _ in heard.withLock { $0.append(name) } }
        }
        try await withServer { adapter in
            adapter.onWebSocketEvent("e", note("a"))
            adapter.onWebSocketEvent("e", tag: "t", note("b"))
            adapter.onceWebSocketEvent("e", note("once"))
            let handle = adapter.onWebSocketEvent("e", note("c"))
            adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
            adapter.onWebSocketEvent("off") { _, payload, reply in
                switch payload.string {
                case "tag": adapter.offWebSocketEvent("e", tag: "t")
                case "handle": adapter.offWebSocketEvent(handle)
                default: adapter.offWebSocketEvent("e")
                }
                reply?(.absent)
            }
        } run: { server in
            let client = try await server.connect()
            for (off, expected) in [
                ("", ["a", "b", "once", "c"]), ("tag", ["a", "c"]), ("handle", ["a"]), ("all", []),
            ] {
                if !off.isEmpty { _ = try await client.request("off", Payload(off)) }
                client.emit("e")
                _ = try await client.request("flush")
                #expect(
                    heard.withLock { list in
                        defer { list = [] }
                        return list
                    } == expected
                )
            }
        }
    }

    @Test func onceRunsOnceAlsoWhenItRaisesItselfAndOffCountsAtOnce() async throws {
        let runs = Atomic<Int>(0)
        let never = Atomic<Int>(0)
        try await withServer { adapter in
            adapter.onWebSocketEvent("e") { _, _, _ in adapter.offWebSocketEvent("e", tag: "later") }
            adapter.onWebSocketEvent("e", tag: "later") { _, _, _ in never.add(1, ordering: .relaxed) }
            adapter.onceWebSocketEvent("o") { _, _, _ in
                runs.add(1, ordering: .relaxed)
                await Task.yield()
            }
            adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
        } run: { server in
            let clients = [try await server.connect(), try await server.connect(), try await server.connect()]
            for client in clients {
                client.emit("e")
                client.emit("o")
            }
            for client in clients { _ = try await client.request("flush") }
            #expect(runs.load(ordering: .relaxed) == 1)
            #expect(never.load(ordering: .relaxed) == 0)
        }
    }

    /// What a client names is never one of the server's own events.
    @Test(arguments: [
        "connection", "close", "error", "pong", "message", "client-ping", "server-error", "listening",
        "ws-server-close", "constructor", "__proto__", "toString", "hasOwnProperty",
    ])
    func clientsCannotRaiseSystemEvents(name: String) async throws {
        let raised = Mutex<[String]>([])
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                raised.withLock { $0.append("connection") }
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
            }
            adapter.onWebSocketEvent(.close) { _, _, _, _ in raised.withLock { $0.append("close") } }
            adapter.onWebSocketEvent(.error) { _, _, _ in raised.withLock { $0.append("error") } }
            adapter.onWebSocketEvent(.clientPing) { _ in raised.withLock { $0.append("client-ping") } }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let victim = try await server.connect("/?id=admin")
            let attacker = try await server.connect("/?id=mallory")
            attacker.send(#"{"event":"\#(name)","payload":{"url":"/?id=admin","headers":{}}}"#)
            #expect(try await attacker.request("echo", 1) == 1)
            #expect(raised.withLock { $0 } == ["connection", "connection"])
            try server.adapter.toSocketId("admin", "for-you", 1)
            #expect(try await victim.next("for-you") == 1)
        }
    }

    @Test func theMessageEventFollowsTheEventItself() async throws {
        let order = Mutex<[String]>([])
        try await withServer { adapter in
            adapter.onWebSocketEvent("e") { _, _, _ in
                await Task.yield()
                order.withLock { $0.append("e") }
            }
            adapter.onWebSocketEvent(.clientPing) { _ in order.withLock { $0.append("client-ping") } }
            adapter.onWebSocketEvent(.message) { socket, message in
                order.withLock { $0.append(String(buffer: message.payload)) }
            }
        } run: { server in
            let client = try await server.connect()
            client.send(#"{"event":"e"}"#)
            client.send("")
            client.send("no JSON")
            try await eventually { order.withLock { $0.count } == 5 }
            #expect(order.withLock { $0 } == ["e", #"{"event":"e"}"#, "client-ping", "", "no JSON"])
        }
    }

    @Test func theMessageEventChangesNothing() async throws {
        let seen = Mutex(0)
        try await withServer { adapter in
            adapter.onWebSocketEvent(.message) { _, _ in seen.withLock { $0 += 1 } }
        } run: { server in
            let client = try await server.connect()
            let failure = await #expect(throws: RequestFailure.self) { try await client.request("unknown") }
            #expect(failure?.code == "UNKNOWN_EVENT")
            client.send("no JSON")
            try await eventually { seen.withLock { $0 } == 2 }
            #expect(server.adapter.statistics.invalidMessages == 1)
        }
    }

    @Test func theHeartbeatTextIsAnOption() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.heartbeat = #"{"type":"hb"}"#
        try await withServer(configuration: configuration) { server in
            let client = try await server.connect()
            client.send(#"{"type":"hb"}"#)
            #expect(try await client.nextText() == #"{"type":"hb"}"#)
        }
        configuration.heartbeat = nil
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent(.message) { socket, message in
                try socket.send(EncodedMessage(text: "got \(message.payload.readableBytes)"))
            }
        } run: { server in
            let client = try await server.connect()
            client.send("")
            #expect(try await client.nextText() == "got 0")
        }
    }

    @Test func binaryMessagesAreTakenAsText() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let client = try await server.connect()
            client.send(binary: ByteBuffer(string: #"{"event":"echo","payload":1,"callbackId":"b"}"#))
            let reply = try await client.nextMessage()
            #expect(reply.kind == .text)
            #expect(String(buffer: reply.payload) == #"{"payload":1,"callbackId":"b"}"#)
            client.send(binary: ByteBuffer(bytes: [0xFF, 0xFE]))
            #expect(try await client.request("echo", 2) == 2)
            #expect(server.adapter.statistics.invalidMessages == 1)
        }
    }
}
