import CrossServerClient
import CrossServerTesting
import Synchronization
import Testing

@Suite struct HeartbeatSocketTests {
    @Test(.timeLimit(.minutes(1)))
    func measuresTheRoundTrip() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url, .quick { $0.pingInterval = .milliseconds(20) }) { client in
                client.on(.ping) { seen.add("ping") }
                client.on(.pong) { roundTrip in seen.add(.zero < roundTrip ? "pong" : "wrong") }
                client.on(.message) { _ in seen.add("message") }
            } _: { _, log in
                try await seen.wait(for: "pong", count: 3)
                #expect(Array(seen.all.prefix(6)) == ["ping", "pong", "ping", "pong", "ping", "pong"])
                #expect(log.all == ["open"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func onlyAnExactEchoCounts() async throws {
        let script = ScriptedServer.Script(onMessage: { connection, text in
            connection.send("")
            connection.send(" " + text)
            connection.send(#"{"event":"a"}"#)
        })
        try await withScriptedServer(script) { server in
            let configuration = WebSocketConnector.Configuration.quick {
                $0.pingMessage = #"{"type":"hb"}"#
                $0.pingInterval = .milliseconds(20)
                $0.pongTimeout = .milliseconds(100)
            }
            try await withClient(server.url, configuration) { _, log in
                try await log.wait(for: "close 4002 pong timeout")
                #expect(log.all == ["open", "pong-timeout", "close 4002 pong timeout"])
                try await eventually { server.connections[0].texts == [#"{"type":"hb"}"#] }
                try await eventually { server.connections[0].close?.code == .pongTimeout }
                #expect(server.connections[0].close?.reason == "pong timeout")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func bytesOfAMessageThatIsNotWholeAreASignOfLife() async throws {
        try await withScriptedServer(.init(answersHeartbeat: false)) { server in
            let seen = EventLog()
            let configuration = WebSocketConnector.Configuration.quick {
                $0.pingInterval = .milliseconds(20)
                $0.pongTimeout = .seconds(2)
            }
            try await withClient(server.url, configuration) { client in
                client.on(.ping) { seen.add("ping") }
                client.on(.message) { _ in seen.add("message") }
            } _: { _, log in
                try await log.wait(for: "open")
                try await seen.wait(for: "ping")
                server.connections[0].write([0x81, 60])
                // The time itself is tested: more than an echo may take.
                for _ in 0..<60 {
                    try await Task.sleep(for: .milliseconds(50))
                    server.connections[0].write([UInt8(ascii: "x")])
                }
                try await seen.wait(for: "message")
                #expect(log.all == ["open"])
                try await log.wait(for: "close 4002 pong timeout")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aFrozenServerIsGivenUpAtOnce() async throws {
        try await withScriptedServer(.init(isFrozen: true)) { server in
            let configuration = WebSocketConnector.Configuration.quick {
                $0.pingInterval = .milliseconds(20)
                $0.pongTimeout = .seconds(3)
                $0.closeTimeout = .seconds(600)
            }
            let client = try WebSocketConnector(url: server.url, configuration: configuration)
            let log = EventLog(of: client)
            client.on(.close) { [weak client] close in if close.code.allowsReconnect { client?.reconnect() } }
            let running = Task { try await client.run() }
            try await log.wait(for: "open")
            let error = await #expect(throws: WebSocketConnectorError.self) { try await client.emit("get") }
            #expect(error?.code == .connectionClosed)
            try await log.wait(for: "open", count: 3)
            let expected = ["open", "pong-timeout", "close 4002 pong timeout", "reconnect 1", "open"]
            #expect(Array(log.all.prefix(5)) == expected)
            running.cancel()
            try await running.value
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func theIntervalCanBeChanged() async throws {
        try await withScriptedServer { server in
            let pings = Atomic<Int>(0)
            try await withClient(server.url, .quick { $0.pingInterval = .seconds(600) }) { client in
                client.on(.ping) { pings.wrappingAdd(1, ordering: .relaxed) }
            } _: { client, log in
                try await log.wait(for: "open")
                client.setPingInterval(.milliseconds(10))
                #expect(client.pingInterval == .milliseconds(10))
                // That something does not happen can only be waited out.
                try await Task.sleep(for: .milliseconds(100))
                #expect(pings.load(ordering: .relaxed) == 0, "the wait under way goes on")
                client.setPingInterval(.milliseconds(10), immediate: true)
                try await eventually { pings.load(ordering: .relaxed) >= 3 }
                client.setPingInterval(.zero)
                #expect(client.pingInterval == .milliseconds(10))
            }
        }
    }
}
