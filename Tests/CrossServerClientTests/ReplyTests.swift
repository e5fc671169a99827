import CrossServer
import CrossServerClient
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

private struct Ask: Event {
    static let name = "ask"
    var q: Int
    struct Reply: Codable, Equatable, Sendable { var a: Int }
}

private struct Tell: Event {
    static let name = "tell"
    var text: String
}

/// Replies to what the server asks.
@Suite(.timeLimit(.minutes(2))) struct ReplyTests {
    /// - Returns: the answers in the order of their ids.
    private func answers(
        to texts: [String],
        count: Int,
        prepare: (WebSocketConnector) -> Void
    ) async throws -> [String] {
        try await withScriptedServer { server in
            try await withClient(server.url, prepare: prepare) { _, log in
                try await log.wait(for: "open")
                for text in texts { server.connections[0].send(text) }
                // Listeners start in order: what is not answered has been looked at when this one is.
                server.connections[0].send(#"{"event":"nobody listens","requestId":"last"}"#)
                try await eventually {
                    server.connections[0].texts.count > count
                        && server.connections[0].texts.contains { $0.contains("\"last\"") }
                }
                return try server.connections[0].texts.sorted { try Self.id(of: $0) < Self.id(of: $1) }.dropLast()
            }
        }
    }

    private static func id(of answer: String) throws -> String {
        try #require(Payload(json: answer)["requestId"]?.string)
    }

    @Test func everyFormOfListenerReplies() async throws {
        let answers = try await self.answers(
            to: [
                #"{"event":"ask","payload":{"q":1},"requestId":"1"}"#, #"{"event":"ask","payload":{"q":2}}"#,
                #"{"event":"async","payload":{"q":1},"requestId":"2"}"#,
                #"{"event":"raw","payload":[1, 2],"requestId":"\u0033"}"#, #"{"event":"raw","payload":[1, 2]}"#,
                #"{"event":"raw async","requestId":"4"}"#, #"{"event":"tell","payload":{"text":"x"},"requestId":"5"}"#,
                #"{"event":"plain","requestId":"6"}"#,
            ],
            count: 6
        ) { client in
            client.on(Ask.self) { ask in Ask.Reply(a: ask.q + 1) }
            client.on("async") { payload, reply in
                await Task.yield()
                try reply?(encoding: ["a": 1])
                reply?("only the first counts")
            }
            client.on("raw") { payload, reply in reply?(payload) }
            client.once("raw async") { _, reply in
                await Task.yield()
                reply?(.null)
            }
            client.on(Tell.self) { _ in }
            client.on("plain") { _ in }
            client.on(Ask.self) { ask in print("also heard: \(ask.q)") }
            client.once(Ask.self) { _ in await Task.yield() }
        }
        #expect(
            answers == [
                #"{"payload":{"a":2},"requestId":"1"}"#, #"{"payload":{"a":1},"requestId":"2"}"#,
                #"{"payload":[1, 2],"requestId":"\u0033"}"#, #"{"payload":null,"requestId":"4"}"#,
                #"{"requestId":"5"}"#, #"{"requestId":"6"}"#,
            ]
        )
    }

    @Test func failuresAreAnswered() async throws {
        struct Secret: Error {}
        let answers = try await self.answers(
            to: [
                #"{"event":"ask","payload":{},"requestId":"1"}"#, #"{"event":"secret","requestId":"2"}"#,
                #"{"event":"told","requestId":"3"}"#, #"{"event":"nobody","requestId":"4"}"#,
            ],
            count: 4
        ) { client in
            client.on(Ask.self) { ask in
                await Task.yield()
                return Ask.Reply(a: ask.q)
            }
            client.on("secret") { _ in throw Secret() }
            client.on("told") { _, _ in throw RequestFailure(code: "NO", message: "not \"today\"") }
        }
        try #require(answers.count == 4)
        #expect(answers[0].hasPrefix(#"{"payload":{"error":"#) && answers[0].contains(#""code":"INVALID_PAYLOAD""#))
        #expect(
            answers[1] == #"""
                {"payload":{"error":"the request failed"},"requestId":"2",\#
                "error":{"code":"INTERNAL_ERROR","message":"the request failed"}}
                """#
        )
        #expect(
            answers[2] == #"""
                {"payload":{"error":"not \"today\""},"requestId":"3","error":{"code":"NO","message":"not \"today\""}}
                """#
        )
        #expect(answers[3].contains(#""requestId":"4","error":{"code":"UNKNOWN_EVENT""#))
    }

    @Test func theFirstReturnedValueIsSent() async throws {
        let texts = [#"{"event":"ask","payload":{"q":1},"requestId":"1"}"#]
        let answers = try await self.answers(to: texts, count: 1) { client in
            client.on("ask") { _ in throw CancellationError() }
            client.on("ask") { _ in }
            client.on(Ask.self) { _ in
                await Task.yield()
                return Ask.Reply(a: 1)
            }
            client.on(Ask.self) { _ in Ask.Reply(a: 2) }
        }
        #expect(answers == [#"{"payload":{"a":1},"requestId":"1"}"#])
    }

    @Test func aReplyMayBeGivenLater() async throws {
        let kept = Mutex<WebSocketConnector.Reply?>(nil)
        try await withScriptedServer { server in
            try await withClient(server.url) { client in
                client.on("ask") { _, reply in kept.withLock { $0 = reply } }
            } _: { client, log in
                try await log.wait(for: "open")
                server.connections[0].send(#"{"event":"ask","requestId":"1"}"#)
                server.connections[0].send(#"{"event":"nobody listens","requestId":"2"}"#)
                try await eventually { server.connections[0].texts.count == 1 }
                let reply = try #require(kept.withLock { $0 })
                reply("later")
                try await eventually { server.connections[0].texts.count == 2 }
                #expect(server.connections[0].texts[1] == #"{"payload":"later","requestId":"1"}"#)
                // Over another connection it would mean nothing, or something else.
                server.connections[0].send(#"{"event":"ask","requestId":"3"}"#)
                server.connections[0].send(#"{"event":"nobody listens","requestId":"4"}"#)
                try await eventually { server.connections[0].texts.count == 3 }
                client.reconnect()
                try await log.wait(for: "open", count: 2)
                let late = try #require(kept.withLock { $0 })
                late("too late")
                try client.send("end")
                try await eventually { !server.connections[1].texts.isEmpty }
                #expect(server.connections[1].texts == [#"{"event":"end"}"#])
            }
        }
    }

    @Test(arguments: ["7", "{}", #""\#(String(repeating: "a", count: 65))""#, "null"])
    func otherIdsAskForNothing(id: String) async throws {
        let seen = EventLog()
        let answers = try await self.answers(
            to: [
                #"{"event":"ask","payload":{"q":1},"requestId":\#(id)}"#, #"{"requestId":\#(id)}"#,
                #"{"requestId":"x"}"#,
                #"{"event":"ask","payload":{"q":2},"requestId":"1","callbackId":"2"}"#,
            ],
            count: 0
        ) { client in
            client.on("ask") { payload, reply in seen.add("\(payload.json) \(reply == nil)") }
        }
        #expect(answers.isEmpty)
        #expect(seen.all == [#"{"q":1} true"#])
    }

    @Test func theServerAsksTheClient() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, _ in try adapter.setUserSocket("7", socket) }
        } run: { server in
            try await withClient(server.url()) { client in
                client.on(Ask.self) { ask in Ask.Reply(a: -ask.q) }
                client.on(Tell.self) { tell in throw RequestFailure(code: "NO", message: tell.text) }
            } _: { _, log in
                try await log.wait(for: "open")
                try await eventually { server.adapter.socket(forID: "7") != nil }
                let socket = try #require(server.adapter.socket(forID: "7"))
                #expect(try await socket.emit(Ask(q: 7), timeout: .seconds(30)) == Ask.Reply(a: -7))
                let failure = await #expect(throws: RequestFailure.self) {
                    try await socket.emit(Tell(text: "no"), timeout: .seconds(30))
                }
                #expect(failure == RequestFailure(code: "NO", message: "no"))
                let unknown = await #expect(throws: RequestFailure.self) {
                    try await socket.emit("unknown", timeout: .seconds(30))
                }
                #expect(unknown?.code == "UNKNOWN_EVENT")
            }
        }
    }
}
