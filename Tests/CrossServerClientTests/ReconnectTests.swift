import CrossServerClient
import CrossServerTesting
import Logging
import ServiceLifecycle
import ServiceLifecycleTestKit
import Synchronization
import Testing

@Suite struct ReconnectTests {
    @Test(.timeLimit(.minutes(1)))
    func aCloseDoesNotReconnectByItself() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                server.connections[0].close(4010, "Forced logout")
                try await log.wait(for: "close 4010 Forced logout")
                // What follows from a close is decided before its listeners hear of it.
                #expect(!client.isReconnecting)
                client.reconnect()
                try await log.wait(for: "open", count: 2)
                #expect(log.all == ["open", "close 4010 Forced logout", "reconnect 1", "open"])
                #expect(!client.isReconnecting)
                #expect(server.accepts == 2)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func theApplicationReconnectsInItsCloseHandler() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client in
                client.on(.close) { [weak client] close in if close.code.allowsReconnect { client?.reconnect() } }
            } _: { _, log in
                try await log.wait(for: "open")
                server.connections[0].end()
                try await log.wait(for: "open", count: 2)
                #expect(log.all == ["open", "close 1006 ", "reconnect 1", "open"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func anErrorReconnectsByItself() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client in
                // Once more than needed: it must make no difference.
                client.on(.close) { [weak client] _ in client?.reconnect() }
            } _: { _, log in
                try await log.wait(for: "open")
                server.connections[0].write([0xFF, 0xFF])
                try await log.wait(for: "open", count: 2)
                #expect(log.all.map { $0.split(separator: " ")[0] } == ["open", "error", "close", "reconnect", "open"])
                #expect(log.all[2].hasPrefix("close 1002"))
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aLateHandlerOfACloseDoesNotEndTheNextConnection() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(.close) { [weak client] _ in
                    try await eventually { client?.isOpen ?? true }
                    client?.reconnect()
                    seen.add("late")
                }
            } _: { client, log in
                try await log.wait(for: "open")
                server.connections[0].reset()
                try await seen.wait(for: "late")
                try await log.wait(for: "open", count: 2)
                try client.send("still the second")
                try await eventually { server.connections.last?.texts.count == 1 }
                #expect(server.connections.count == 2)
                // Outside of the handler it is about the connection that is open.
                client.off(.close)
                client.reconnect()
                try await log.wait(for: "open", count: 3)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aResetReconnectsByItself() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { _, log in
                try await log.wait(for: "open")
                server.connections[0].reset()
                try await log.wait(for: "open", count: 2)
                #expect(log.all == ["open", "error", "close 1006 ", "reconnect 1", "open"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func comesBackToAServerThatWasKilledAndRestarted() async throws {
        let first = try await ScriptedServer.start()
        let port = first.port
        try await withClient(first.url) { client in
            client.on(.close) { [weak client] close in if close.code.allowsReconnect { client?.reconnect() } }
        } _: { client, log in
            try await log.wait(for: "open")
            try await first.kill()
            try await log.wait(for: "reconnect 3")
            #expect(client.isReconnecting)
            #expect(!client.isOpen)
            let second = try await ScriptedServer.start(port: port)
            try await log.wait(for: "open", count: 2)
            #expect(!client.isReconnecting)
            try client.send("hello")
            try await eventually { second.connections.last?.texts.count == 1 }
            try await second.kill()
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func stopsAtTheRepeatLimit() async throws {
        let server = try await ScriptedServer.start()
        let url = server.url
        try await server.kill()
        try await withClient(url, .quick { $0.repeatLimit = 2 }) { client, log in
            try await log.wait(for: "repeat-limit 2")
            let round = ["error", "reconnect 1", "error", "reconnect 2", "error", "repeat-limit 2"]
            #expect(log.all == round)
            #expect(!client.isReconnecting)
            client.reconnect()
            client.reconnect(resetAttempts: true)
            try await log.wait(for: "repeat-limit 2", count: 2)
            #expect(log.all == round + ["reconnect 1", "error", "reconnect 2", "error", "repeat-limit 2"])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aRefusedHandshakeIsAnErrorThatSaysWhy() async throws {
        try await withScriptedServer(.init(handshake: .reject(.unauthorized))) { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            let errors = Mutex<[WebSocketConnectorError]>([])
            client.on(.error) { error in
                if let error = error as? WebSocketConnectorError { errors.withLock { $0.append(error) } }
                client.manualClose()
            }
            try await client.run()
            let error = try #require(errors.withLock { $0.first })
            #expect(error.code == .authenticationFailed)
            #expect(error.status == 401)
            #expect(error.message == "the server refused the WebSocket with HTTP status 401: Unauthorized")
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func anAttemptHasALimit() async throws {
        try await withScriptedServer(.init(handshake: .silent)) { server in
            let configuration = WebSocketConnector.Configuration.quick {
                $0.connectTimeout = .milliseconds(100)
                $0.repeatLimit = 1
            }
            let client = try WebSocketConnector(url: server.url, configuration: configuration)
            let log = EventLog(of: client)
            client.on(.repeatLimit) { [weak client] _ in client?.manualClose() }
            client.on(.error) { error in log.add("\((error as? WebSocketConnectorError)?.code.description ?? "?")") }
            try await client.run()
            #expect(
                log.all == ["error", "CONNECT_TIMEOUT", "reconnect 1", "error", "CONNECT_TIMEOUT", "repeat-limit 1"]
            )
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func reconnectingAnOpenConnectionClosesItWith4001() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                client.reconnect()
                try await log.wait(for: "open", count: 2)
                #expect(log.all == ["open", "close 4001 client manual close", "reconnect 1", "open"])
                try await eventually { server.connections[0].close?.code == .closedByHand }
                #expect(server.connections[0].close?.reason == "client manual close")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func resettingTheAttemptsShortensTheWait() async throws {
        let configuration = WebSocketConnector.Configuration.quick {
            $0.fastReconnectThreshold = 0
            $0.fastReconnectInterval = .milliseconds(200)
            $0.reconnectMaximumInterval = .seconds(1_000)
        }
        try await withClient("ws://127.0.0.1:1", configuration) { client, log in
            try await log.wait(for: "reconnect 3")
            client.reconnect(resetAttempts: true)
            try await log.wait(for: "reconnect 1", count: 2)
        }
    }
}

@Suite struct ClosingTests {
    private static let closed = "close 4001 client manual close"

    @Test(.timeLimit(.minutes(1)))
    func whileOpen() async throws {
        try await withScriptedServer { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            let log = EventLog(of: client)
            async let running: Void = client.run()
            try await log.wait(for: "open")
            client.manualClose()
            client.manualClose()
            try await running
            #expect(log.all == ["open", Self.closed])
            #expect(!client.isOpen)
            client.reconnect()
            #expect(throws: WebSocketConnectorError.self) { try client.send("a") }
            try await eventually { server.connections[0].close?.code == .closedByHand }
            #expect(server.accepts == 1)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func whileConnecting() async throws {
        try await withScriptedServer(.init(handshake: .silent)) { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            let log = EventLog(of: client)
            async let running: Void = client.run()
            try await eventually { server.accepts == 1 }
            client.manualClose()
            try await running
            #expect(log.all == [Self.closed])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func whileWaiting() async throws {
        let configuration = WebSocketConnector.Configuration.quick {
            $0.fastReconnectInterval = .seconds(1_000)
            $0.reconnectMaximumInterval = .seconds(1_000)
        }
        let client = try WebSocketConnector(url: "ws://127.0.0.1:1", configuration: configuration)
        let log = EventLog(of: client)
        async let running: Void = client.run()
        try await log.wait(for: "reconnect 1")
        client.manualClose()
        try await running
        #expect(log.all == ["error", "reconnect 1", Self.closed])
    }

    @Test(.timeLimit(.minutes(1)))
    func afterACloseInItsHandler() async throws {
        try await withScriptedServer { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            let log = EventLog(of: client)
            client.on(.close) { [weak client] _ in client?.manualClose() }
            async let running: Void = client.run()
            try await log.wait(for: "open")
            server.connections[0].close(.authenticationFailed, "Auth failure")
            try await running
            #expect(log.all == ["open", "close 4011 Auth failure"])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func beforeTheRunAndTwice() async throws {
        let client = try WebSocketConnector(url: "ws://127.0.0.1:1")
        let log = EventLog(of: client)
        client.manualClose()
        try await client.run()
        #expect(log.all.isEmpty)
        let error = await #expect(throws: WebSocketConnectorError.self) { try await client.run() }
        #expect(error?.code == .alreadyRun)
    }

    @Test(.timeLimit(.minutes(1)))
    func letsGoOfListenersThatHoldIt() async throws {
        weak var released: WebSocketConnector?
        try await withScriptedServer { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            released = client
            client.on(.close) { _ in client.reconnect() }
            client.on("a") { _ in client.manualClose() }
            client.once(.open) { client.manualClose() }
            try await client.run()
        }
        try await eventually { released == nil }
    }

    @Test(.timeLimit(.minutes(1)))
    func aFrozenServerDoesNotHoldIt() async throws {
        try await withScriptedServer(.init(isFrozen: true)) { server in
            let client = try WebSocketConnector(
                url: server.url,
                configuration: .quick { $0.closeTimeout = .milliseconds(100) }
            )
            let log = EventLog(of: client)
            async let running: Void = client.run()
            try await log.wait(for: "open")
            client.manualClose()
            try await running
            #expect(log.all == ["open", Self.closed])
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: [false, true])
    func cancellationEndsTheRun(isFrozen: Bool) async throws {
        try await withScriptedServer(.init(isFrozen: isFrozen)) { server in
            let client = try WebSocketConnector(
                url: server.url,
                configuration: .quick { $0.closeTimeout = .seconds(600) }
            )
            let log = EventLog(of: client)
            let running = Task { try await client.run() }
            try await log.wait(for: "open")
            running.cancel()
            try await running.value
            #expect(log.all == ["open", Self.closed])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aCancelledTaskDoesNotConnect() async throws {
        let client = try WebSocketConnector(url: "ws://127.0.0.1:1")
        let running = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await client.run()
        }
        try await running.value
        #expect(!client.isOpen)
    }

    @Test(.timeLimit(.minutes(1)))
    func aGracefulShutdownEndsTheRun() async throws {
        try await withScriptedServer { server in
            let client = try WebSocketConnector(url: server.url, configuration: .quick())
            let log = EventLog(of: client)
            try await testGracefulShutdown { trigger in
                async let running: Void = client.run()
                try await log.wait(for: "open")
                trigger.triggerGracefulShutdown()
                try await running
            }
            #expect(log.all == ["open", Self.closed])
        }
    }
}
