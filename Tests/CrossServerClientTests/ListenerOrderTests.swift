import CrossServerClient
import CrossServerTesting
import Synchronization
import Testing

/// Listeners start in order and do not wait for each other.
@Suite(.timeLimit(.minutes(1))) struct ListenerOrderTests {
    @Test func aListenerThatWaitsHoldsBackNoOther() async throws {
        // The reply comes when the client has answered a question of the server's.
        let request = Mutex("")
        let script = ScriptedServer.Script(onMessage: { connection, text in
            // Only what the client sends here is read.
            guard let message = try? Payload(json: text) else { return }
            if let id = message["callbackId"]?.string {
                request.withLock { $0 = id }
                connection.send(#"{"event":"question","requestId":"q"}"#)
            } else if message["requestId"] == "q" {
                connection.send(#"{"payload":"done","callbackId":"\#(request.withLock { $0 })"}"#)
            }
        })
        try await withScriptedServer(script) { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(.open) { [weak client] in seen.add(try await client?.emit("get").json ?? "") }
                client.on("question") { _, reply in
                    await Task.yield()
                    reply?("answer")
                }
            } _: { _, _ in
                try await seen.wait(for: #""done""#)
            }
        }
    }

    @Test func listenersStartInTheirOrder() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let (gate, opening) = AsyncStream.makeStream(of: Void.self)
            try await withClient(server.url) { client in
                for name in ["first", "second"] {
                    client.on("a") { payload in
                        seen.add("\(name) \(payload.json)")
                        // Nobody has ended before all have started.
                        for await _ in gate {}
                    }
                }
                client.on("a") { payload in seen.add("plain \(payload.json)") }
            } _: { _, log in
                defer { opening.finish() }
                try await log.wait(for: "open")
                for number in 0..<50 { server.connections[0].send(#"{"event":"a","payload":\#(number)}"#) }
                try await seen.wait(for: "plain 49")
                #expect(seen.all == (0..<50).flatMap { ["first \($0)", "second \($0)", "plain \($0)"] })
            }
        }
    }

    @Test func oneAtATimeWhereItIsAskedFor() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let underWay = Atomic<Int>(0)
            try await withClient(server.url) { client in
                client.on("a", oneAtATime: true) { payload in
                    #expect(underWay.wrappingAdd(1, ordering: .relaxed).newValue == 1)
                    // The first waits until others have been told of what came after it.
                    if payload == 0 { try await seen.wait(for: "b") } else { await Task.yield() }
                    seen.add(payload.json)
                    underWay.wrappingSubtract(1, ordering: .relaxed)
                }
                client.on("b") { _ in
                    await Task.yield()
                    seen.add("b")
                }
            } _: { _, log in
                try await log.wait(for: "open")
                for number in 0..<20 { server.connections[0].send(#"{"event":"a","payload":\#(number)}"#) }
                server.connections[0].send(#"{"event":"b"}"#)
                try await seen.wait(for: "19")
                #expect(seen.all == ["b"] + (0..<20).map { "\($0)" })
            }
        }
    }

    @Test func runningListenersAreBounded() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let (gate, opening) = AsyncStream.makeStream(of: Void.self)
            let configuration = WebSocketConnector.Configuration.quick { $0.maximumRunningListeners = 3 }
            try await withClient(server.url, configuration) { client in
                client.on("a") { _ in
                    seen.add("start")
                    for await _ in gate {}
                }
                client.on("b") { _ in seen.add("b") }
            } _: { client, log in
                defer { opening.finish() }
                try await log.wait(for: "open")
                for _ in 0..<5 { server.connections[0].send(#"{"event":"a"}"#) }
                server.connections[0].send(#"{"event":"b"}"#)
                try await seen.wait(for: "start", count: 3)
                // That something does not happen can only be waited out.
                try await Task.sleep(for: .milliseconds(100))
                #expect(seen.all == ["start", "start", "start"])
                opening.finish()
                try await seen.wait(for: "b")
                #expect(seen.count("start") == 5)
            }
        }
    }

    @Test func repliesPassWhatNobodyHasHandled() async throws {
        let padding = String(repeating: " ", count: 100_000)
        let script = ScriptedServer.Script(onMessage: { connection, text in
            // Only what the client sends here is read.
            guard let id = try? Payload(json: text)["callbackId"]?.string else { return }
            // Far more than is read at once.
            for number in 1..<10 { connection.send(#"{"event":"a","payload":\#(number)\#(padding)}"#) }
            connection.send(#"{"payload":"done","callbackId":"\#(id)"}"#)
        })
        try await withScriptedServer(script) { server in
            let seen = EventLog()
            let configuration = WebSocketConnector.Configuration.quick {
                $0.maximumQueuedMessages = 3
                $0.maximumRunningListeners = 1
            }
            try await withClient(server.url, configuration) { client in
                client.on("a") { [weak client] payload in
                    if payload == 0 { seen.add(try await client?.emit("get").json ?? "") }
                    seen.add(payload.json)
                }
            } _: { _, log in
                try await log.wait(for: "open")
                server.connections[0].send(#"{"event":"a","payload":0}"#)
                try await seen.wait(for: "9")
                #expect(seen.all == [#""done""#] + (0..<10).map { "\($0)" })
            }
        }
    }

    @Test func aCancelledRunCancelsItsListeners() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            client.on(.open) {
                seen.add("start")
                do {
                    // Nothing but the cancellation ends it within the time of the test.
                    try await Task.sleep(for: .seconds(600))
                } catch {
                    seen.add("cancelled")
                }
            }
            let running = Task { try await client.run() }
            try await seen.wait(for: "start")
            running.cancel()
            try await running.value
            #expect(seen.all == ["start", "cancelled"])
        }
    }

    @Test func theRunWaitsForItsListeners() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let (gate, opening) = AsyncStream.makeStream(of: Void.self)
            try await withClient(server.url) { client in
                client.on(.open) {
                    for await _ in gate {}
                    seen.add("end")
                }
                client.on(.close) { _ in opening.finish() }
            } _: { _, log in
                try await log.wait(for: "open")
            }
            #expect(seen.all == ["end"])
        }
    }
}
