import CrossServerClient
import CrossServerTesting
import HTTPTypes
import Synchronization
import Testing

private struct Say: Event {
    static let name = "say"
    var msg: String
    struct Reply: Codable, Sendable, Equatable { var heardBy: Int }
}

private struct Note: Event {
    static let name = "note"
    var n: Int
}

/// Answers every request with the text, in which `$ID` stands for the callback id.
private func answering(_ reply: String) -> ScriptedServer.Script {
    ScriptedServer.Script(onMessage: { connection, text in
        guard let id = try? Payload(json: text)["callbackId"]?.string else { return }  // an event is not answered
        connection.send(reply.replacing("$ID", with: id))
    })
}

@Suite struct RequestTests {
    @Test(.timeLimit(.minutes(1)))
    func bytesAreThoseOfTheJavaScriptClient() async throws {
        try await withScriptedServer(answering(#"{"payload":{"heardBy":3},"callbackId":"$ID"}"#)) { server in
            let url = server.url + "/chat?room=1"
            try await withClient(url) { client, log in
                try await log.wait(for: "open")
                #expect(client.isOpen)
                #expect(try await client.emit(Say(msg: "hi")) == Say.Reply(heardBy: 3))
                try client.send(Say(msg: "é\n"))
                try client.send("plain")
                #expect(try await client.emit("raw", ["a": 1]) == ["heardBy": 3])
                try await eventually { server.connections[0].texts.count == 4 }
                let texts = server.connections[0].texts
                let id = /~[0-9a-z]{8,9}-[0-9a-z]{4}-[0-9a-z]+/
                let request = #/\{"event":"say","payload":\{"msg":"hi"\},"callbackId":"(.*)"\}/#
                #expect(texts[0].wholeMatch(of: request)?.1.wholeMatch(of: id) != nil, "\(texts[0])")
                #expect(texts[1] == #"{"event":"say","payload":{"msg":"é\n"}}"#)
                #expect(texts[2] == #"{"event":"plain"}"#)
                #expect(texts[3].hasPrefix(#"{"event":"raw","payload":{"a":1},"callbackId":""#))
                #expect(server.connections[0].request.target == "/chat?room=1")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func parametersAndHeadersReachTheServer() async throws {
        try await withScriptedServer { server in
            var configuration = WebSocketConnector.Configuration.quick()
            configuration.headers[.authorization] = "Bearer x"
            configuration.subprotocols = ["chat.v1"]
            let client = try WebSocketConnector(
                url: server.url,
                parameters: ["id": "7", "name": "Sam é&"],
                configuration: configuration
            )
            async let running: Void = client.run()
            try await eventually { client.isOpen }
            let request = server.connections[0].request
            #expect(request.target == "/?id=7&name=Sam+%C3%A9%26")
            #expect(request.headers[.authorization] == "Bearer x")
            #expect(request.subprotocols == ["chat.v1"])
            client.manualClose()
            try await running
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            (#"{"payload":null,"callbackId":"$ID"}"#, "null"), (#"{"callbackId":"$ID"}"#, ""),
            (#"{"callbackId":"$ID","payload":[1, 2],"other":{}}"#, "[1, 2]"),
            // A callback id is looked at before the event, as in the JavaScript client.
            (#"{"event":"x","payload":1,"callbackId":"$ID"}"#, "1"),
        ]
    )
    func repliesOfEveryForm(reply: String, payload: String) async throws {
        try await withScriptedServer(answering(reply)) { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                #expect(try await client.emit("get").json == payload)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func anEventWithoutReplyIsAcknowledged() async throws {
        try await withScriptedServer(answering(#"{"callbackId":"$ID"}"#)) { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                try await client.emit(Note(n: 1))
            }
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            (#"{"code":"NO_ROOM","message":"no such room"}"#, "NO_ROOM", "no such room"),
            (#""text""#, "UNKNOWN", "text"), (#"[1]"#, "UNKNOWN", "[1]"), (#"{"code":7}"#, "UNKNOWN", #"{"code":7}"#),
        ]
    )
    func failuresAreThrown(error: String, code: String, message: String) async throws {
        let reply = #"{"payload":{"error":"x"},"callbackId":"$ID","error":\#(error)}"#
        try await withScriptedServer(answering(reply)) { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let failure = await #expect(throws: RequestFailure.self) { try await client.emit("get") }
                #expect(failure == RequestFailure(code: code, message: message))
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aReplyOfAnotherShapeIsADecodingError() async throws {
        try await withScriptedServer(answering(#"{"payload":"no","callbackId":"$ID"}"#)) { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                await #expect(throws: DecodingError.self) { try await client.emit(Say(msg: "")) }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func nothingIsSentWithoutAConnection() async throws {
        let client = try WebSocketConnector(url: "ws://127.0.0.1:1")
        let error = await #expect(throws: WebSocketConnectorError.self) { try await client.emit("a") }
        #expect(error?.code == .notOpen)
        #expect(error?.code.description == "WS_NOT_OPEN")
        #expect(error?.description == "WebSocket is not open")
        #expect(throws: WebSocketConnectorError.self) { try client.send("a") }
    }

    @Test(.timeLimit(.minutes(1)))
    func timesOutAndIgnoresALateReply() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let start = ContinuousClock.now
                let error = await #expect(throws: WebSocketConnectorError.self) {
                    try await client.emit("get", timeout: .milliseconds(50))
                }
                #expect(ContinuousClock.now - start >= .milliseconds(50))
                #expect(error?.code == .callbackTimeout)
                try await eventually { server.connections[0].texts.count == 1 }
                let id = try #require(Payload(json: server.connections[0].texts[0])["callbackId"]?.string)
                #expect(error?.description == "Is callback timeout: \(id)")
                server.connections[0].send(#"{"payload":1,"callbackId":"\#(id)"}"#)
                server.connections[0].send(#"{"event":"after"}"#)
                await #expect(throws: WebSocketConnectorError.self) {
                    try await client.emit("get", timeout: .milliseconds(50))
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func tellsOnceThatAReplyIsPending() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let calls = Atomic<Int>(0)
                await #expect(throws: WebSocketConnectorError.self) {
                    try await client.emit("get", timeout: .milliseconds(300), pendingTimeout: .milliseconds(10)) {
                        calls.wrappingAdd(1, ordering: .relaxed)
                    }
                }
                #expect(calls.load(ordering: .relaxed) == 1)
            }
        }
        try await withScriptedServer(answering(#"{"callbackId":"$ID"}"#)) { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let calls = Atomic<Int>(0)
                try await client.emit("get", pendingTimeout: .seconds(2)) {
                    calls.wrappingAdd(1, ordering: .relaxed)
                }
                // That something does not happen can only be waited out.
                try await Task.sleep(for: .seconds(3))
                #expect(calls.load(ordering: .relaxed) == 0)
            }
        }
    }

    enum End: CaseIterable { case byServer, cut, byHand, again }

    @Test(.timeLimit(.minutes(1)), arguments: End.allCases)
    func pendingRequestsFailAtOnce(end: End) async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let reply = Task { try await client.emit("get", timeout: .seconds(600)) }
                try await eventually { server.connections[0].texts.count == 1 }
                switch end {
                case .byServer: server.connections[0].close(.goingAway, "")
                case .cut: server.connections[0].end()
                case .byHand: client.manualClose()
                case .again: client.reconnect()
                }
                let error = await #expect(throws: WebSocketConnectorError.self) { try await reply.value }
                #expect(error?.code == .connectionClosed)
                try await eventually { log.all.contains { $0.hasPrefix("close") } }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func cancellationEndsTheWaitAtOnce() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url, .quick { $0.maximumPendingRequests = 1 }) { client, log in
                try await log.wait(for: "open")
                for count in 1...5 {
                    let request = Task { try await client.emit("get", timeout: .seconds(600)) }
                    try await eventually { server.connections[0].texts.count == count }
                    request.cancel()
                    await #expect(throws: CancellationError.self) { try await request.value }
                }
                let cancelledBefore = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return try await client.emit("get")
                }
                await #expect(throws: CancellationError.self) { try await cancelledBefore.value }
                #expect(server.connections[0].texts.count == 5)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func boundsTheRequestsThatWait() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url, .quick { $0.maximumPendingRequests = 2 }) { client, log in
                try await log.wait(for: "open")
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for _ in 0..<2 { tasks.addTask { try await client.emit("get", timeout: .seconds(600)) } }
                    try await eventually { server.connections[0].texts.count == 2 }
                    let error = await #expect(throws: WebSocketConnectorError.self) { try await client.emit("get") }
                    #expect(error?.code == .tooManyPending)
                    tasks.cancelAll()
                    while let result = await tasks.nextResult() {
                        #expect(throws: CancellationError.self) { try result.get() }
                    }
                }
                try client.send("still there")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func refusesWhatAServerThatDoesNotReadCannotTake() async throws {
        try await withScriptedServer(.init(isFrozen: true)) { server in
            try await withClient(server.url, .quick { $0.closeTimeout = .milliseconds(100) }) { client, log in
                try await log.wait(for: "open")
                let payload = Payload(String(repeating: "x", count: 100_000))
                let error = #expect(throws: WebSocketConnectorError.self) {
                    for _ in 0..<1_000 { try client.send("big", payload) }
                }
                #expect(error?.code == .outboundFull)
                let refused = await #expect(throws: WebSocketConnectorError.self) {
                    for _ in 0..<1_000 {
                        try await client.emit("big", payload, timeout: .milliseconds(1))
                    }
                }
                #expect(refused?.code == .outboundFull || refused?.code == .callbackTimeout)
                #expect(client.isOpen)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func admitsAgainWhenTheServerHasRead() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url, .quick { $0.maximumWaitingBytes = 200_000 }) { client, log in
                try await log.wait(for: "open")
                let payload = Payload(String(repeating: "x", count: 90_000))
                for count in 1...50 {
                    try await eventually {
                        do {
                            try client.send("big", payload)
                            return true
                        } catch {
                            return false
                        }
                    }
                    if count.isMultiple(of: 10) { try await eventually { server.connections[0].texts.count == count } }
                }
            }
        }
    }
}
