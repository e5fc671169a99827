import CrossServer
import CrossServerTesting
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct LifecycleTests {
    @Test func connectionAndCloseComeOnceAndInOrder() async throws {
        let events = Mutex<[String]>([])
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                await Task.yield()
                events.withLock { $0.append("connection \(request.target)") }
                socket[NameKey.self] = "sam"
            }
            adapter.onWebSocketEvent("e") { socket, _, _ in
                await Task.yield()
                events.withLock { $0.append("e \(socket[NameKey.self] ?? "")") }
            }
            adapter.onWebSocketEvent(.close) { socket, _, code, reason in
                await Task.yield()
                events.withLock { $0.append("close \(code) \(reason)") }
            }
        } run: { server in
            let client = try await server.connect("/chat?id=7")
            client.emit("e")
            client.emit("e")
            client.close(4_123, reason: "enough")
            let close = try await client.closed()
            #expect(close == WebSocketClose(code: 4_123, reason: "enough", wasClean: true))
            try await eventually { server.adapter.socketClientCount == 0 }
            #expect(events.withLock { $0 } == ["connection /chat?id=7", "e sam", "e sam", "close 4123 enough"])
        }
    }

    /// Also those without an id, and none that has not shaken hands.
    @Test func allClientsCanBeListed() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                if let id = request.parameters["id"] { try adapter.setUserSocket(id, socket) }
            }
            adapter.onWebSocketEvent("count") { [unowned adapter] _, _, reply async in
                reply?(Payload(await adapter.sockets.count))
            }
        } run: { server in
            let adapter = server.adapter
            let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(to: server.address).get()
            try await eventually { adapter.statistics.connections == 1 }
            #expect(adapter.socketClientCount == 0)
            #expect(await adapter.sockets.isEmpty)
            let clients = [try await server.connect("/?id=1"), try await server.connect("/nobody")]
            try await eventually { adapter.socketClientCount == 2 }
            #expect(adapter.statistics.connections == 3)
            let sockets = await adapter.sockets
            #expect(Set(sockets.map(\.request.target)) == ["/?id=1", "/nobody"])
            #expect(Set(sockets.map(\.id)) == ["1", nil])
            #expect(try await clients[0].request("count") == 2)
            sockets.first { $0.id == nil }?.close()
            _ = try await clients[1].closed()
            try await eventually { adapter.socketClientCount == 1 }
            #expect(await adapter.sockets.map(\.id) == ["1"])
            try await silent.close()
        }
    }

    @Test func aClientIsKnownWhenItLearnsThatItIsConnected() async throws {
        // Not the client's, which would have to wait anyhow.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try await withCluster(["a"], listening: .host("127.0.0.1", port: 0), eventLoopGroup: group) { adapter in
            adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                // Long enough for a client that knows already.
                let end = ContinuousClock.now + .milliseconds(50)
                while ContinuousClock.now < end {}
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
                try socket.emit("welcome", 1)
            }
        } run: { servers in
            let address = try #require(servers[0].listeningAddress)
            for id in ["1", "2", "3"] {
                let client = try await TestClient.connect(to: address, target: "/?id=\(id)")
                #expect(servers[0].socket(forID: id) != nil)
                #expect(try await client.next("welcome") == 1)
            }
        }
        try await group.shutdownGracefully()
    }

    private enum NameKey: ClientSocketKey { typealias Value = String }
    private enum CountKey: ClientSocketKey { typealias Value = Int }

    @Test func aValueIsChangedInOneStep() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, _ in try adapter.setUserSocket("1", socket) }
        } run: { server in
            _ = try await server.connect()
            try await eventually { server.adapter.socket(forID: "1") != nil }
            let socket = try #require(server.adapter.socket(forID: "1"))
            #expect(socket[CountKey.self] == nil)
            await withTaskGroup { tasks in
                for _ in 0..<4 {
                    tasks.addTask {
                        for _ in 0..<1_000 { socket.update(CountKey.self) { count in count = (count ?? 0) + 1 } }
                    }
                }
            }
            #expect(socket[CountKey.self] == 4_000)
            #expect(socket.update(CountKey.self) { $0.take() } == 4_000)
            #expect(socket[CountKey.self] == nil)
            socket[CountKey.self] = 1
            struct Stop: Error {}
            #expect(throws: Stop.self) {
                try socket.update(CountKey.self) { count in
                    count = 2
                    throw Stop()
                }
            }
            #expect(socket[CountKey.self] == 1)
        }
    }

    @Test func theApplicationClosesWithItsCodeAndReason() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                switch request.parameters["how"] {
                case "auth": socket.close(.authenticationFailed)
                case "code": socket.close(4_321, reason: "because")
                default: socket.terminate()
                }
            }
        } run: { server in
            let auth = try await server.connect("/?how=auth").closed()
            #expect(auth == WebSocketClose(code: 4_011, reason: "Auth failure", wasClean: true))
            let code = try await server.connect("/?how=code").closed()
            #expect(code == WebSocketClose(code: 4_321, reason: "because", wasClean: true))
            await #expect(throws: WebSocketHandshakeError.closed) { try await server.connect("/?how=cut") }
        }
    }

    @Test(arguments: [
        ("reject", 4_011, "Auth failure"), ("other", 4_321, "not you"), ("error", 1_011, ""), ("", 1_011, ""),
    ])
    func whatAConnectionListenerThrowsRefusesTheClient(how: String, code: UInt16, reason: String) async throws {
        struct Unexpected: Error {}
        let handled = Mutex(0)
        let (release, continuation) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, request in
                for await _ in release { break }
                switch request.parameters["id"] {
                case "reject": throw ConnectionRejection(.authenticationFailed)
                case "other": throw ConnectionRejection(4_321, reason: "not you")
                case "error": throw Unexpected()
                // An empty id cannot be bound.
                default: try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
                }
            }
            adapter.onWebSocketEvent(.connection) { _, _ in handled.withLock { $0 += 1 } }
            adapter.onWebSocketEvent("e") { _, _, _ in handled.withLock { $0 += 1 } }
        } run: { server in
            let client = try await server.connect("/?id=\(how)")
            for _ in 0..<3 { client.emit("e") }
            try await eventually { server.adapter.statistics.messagesReceived == 3 }
            continuation.yield()
            #expect(
                try await client.closed() == WebSocketClose(code: .init(rawValue: code), reason: reason, wasClean: true)
            )
            try await eventually { server.adapter.socketClientCount == 0 }
            #expect(handled.withLock { $0 } == 0)
            #expect(server.adapter.statistics.handlerFailures == (code == 1_011 ? 1 : 0))
        }
    }

    @Test func aClientThatIsClosedAtTheBeginningIsNotHandled() async throws {
        let handled = Mutex(0)
        let (release, continuation) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent(.connection) { socket, _ in
                for await _ in release { break }
                socket.close(.authenticationFailed)
            }
            adapter.onWebSocketEvent("e") { _, _, _ in handled.withLock { $0 += 1 } }
        } run: { server in
            let client = try await server.connect()
            client.emit("e")
            try await eventually { server.adapter.statistics.messagesReceived == 1 }
            continuation.yield()
            #expect(try await client.closed().code == .authenticationFailed)
            try await eventually { server.adapter.socketClientCount == 0 }
            #expect(handled.withLock { $0 } == 0)
        }
    }

    @Test func stoppingClosesClientsAndWaitsForHandlers() async throws {
        let events = Mutex<[String]>([])
        let (started, startedContinuation) = AsyncStream.makeStream(of: Void.self)
        let (release, releaseContinuation) = AsyncStream.makeStream(of: Void.self)
        try await withServer { adapter in
            adapter.onWebSocketEvent("work") { _, _, _ in
                startedContinuation.yield()
                for await _ in release { break }
                events.withLock { $0.append("work done") }
            }
            adapter.onWebSocketEvent(.close) { _, _, _, _ in events.withLock { $0.append("close") } }
            adapter.onWebSocketEvent(.serverClose) { events.withLock { $0.append("server close") } }
        } run: { server in
            let client = try await server.connect()
            client.emit("work")
            for await _ in started { break }
            await server.beginShutdown()
            #expect(try await client.closed().code == .goingAway)
            #expect(events.withLock { $0 }.isEmpty)
            releaseContinuation.yield()
        }
        #expect(events.withLock { $0 } == ["work done", "close", "server close"])
    }

    @Test func stoppingEndsAtItsDeadline() async throws {
        let cancelled = Mutex(false)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.shutdown.deadline = .milliseconds(100)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("forever") { _, _, reply in
                reply?(.absent)
                do {
                    try await Task.sleep(for: .seconds(3_600))
                } catch {
                    cancelled.withLock { $0 = true }
                }
            }
        } run: { server in
            _ = try await server.connect().request("forever")
        }
        #expect(cancelled.withLock { $0 })
    }

    @Test func aHandlerThatIsCancelledMayEndItsConnection() async throws {
        let closed = Mutex(0)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.shutdown.deadline = .milliseconds(100)
        let client = try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent(.close) { _, _, _, _ in closed.withLock { $0 += 1 } }
            adapter.onWebSocketEvent("forever") { socket, _, reply in
                reply?(.absent)
                await withTaskCancellationHandler {
                    // It is cancelled when the server stops.
                    try? await Task.sleep(for: .seconds(3_600))
                } onCancel: {
                    socket.terminate()
                }
            }
        } run: { server in
            let client = try await server.connect()
            // It reads the reply, and no Close frame: its connection is still there when the handlers are cancelled.
            client.setReading(false)
            _ = try await client.request("forever")
            return client
        }
        #expect(closed.withLock { $0 } == 1)
        client.setReading(true)
        _ = try await client.closed()
    }

    @Test func aCancelledTaskStopsAtOnce() async throws {
        let adapter = WebSocketCrossServerAdapter(listening: .host("127.0.0.1", port: 0), logger: silent)
        let (listening, continuation) = AsyncStream.makeStream(of: SocketAddress.self)
        adapter.onWebSocketEvent(.listening) { continuation.yield($0) }
        let task = Task { try await adapter.run() }
        for await address in listening {
            let client = try await TestClient.connect(to: address)
            task.cancel()
            _ = try await client.closed()
            break
        }
        try await task.value
        #expect(adapter.socketClientCount == 0)
        await #expect(throws: CrossServerError.self) { try await adapter.run() }
    }

    @Test func aTakenPortIsAnErrorThatNamesIt() async throws {
        let reported = Mutex<[String]>([])
        try await withServer { server in
            let second = WebSocketCrossServerAdapter(
                listening: .host("127.0.0.1", port: server.port),
                logger: silent
            )
            second.onWebSocketEvent(.serverError) { error in reported.withLock { $0.append("\(error)") } }
            let error = await #expect(throws: CrossServerError.self) { try await second.run() }
            #expect(error?.code == .cannotListen)
            #expect(error?.message.contains("127.0.0.1:\(server.port)") == true)
            #expect(reported.withLock { $0.count } == 1)
        }
    }

    @Test func authorizationHappensBeforeTheUpgrade() async throws {
        struct Unexpected: Error {}
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.path = "/chat"
        configuration.authorize = { request in
            await Task.yield()
            switch request.parameters["token"] {
            case "good": return
            case "broken": throw Unexpected()
            default: throw UpgradeRejection.unauthorized
            }
        }
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let client = try await server.connect("/chat?token=good")
            #expect(try await client.request("echo", 1) == 1)
            for (target, status) in [("/chat?token=bad", 401), ("/chat?token=broken", 500), ("/?token=good", 404)] {
                let error = await #expect(throws: WebSocketHandshakeError.self) { try await server.connect(target) }
                guard case .rejected(status, _, _)? = error else {
                    Issue.record("\(target) got \(String(describing: error))")
                    continue
                }
            }
            try await eventually { server.adapter.socketClientCount == 1 }
        }
    }

    @Test func aRefusalThatBrowsersCanSee() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.authorize = { _ in
            await Task.yield()
            throw UpgradeRejection.unauthorized.closing(reason: "no token")
        }
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent(.connection) { _, _ in Issue.record("it is no client") }
        } run: { server in
            let client = try await server.connect("/?token=bad")
            let close = try await client.closed()
            #expect(close.code == .authenticationFailed)
            #expect(close.reason == "no token")
            #expect(server.adapter.socketClientCount == 0)
        }
    }

    @Test func subprotocolsAreChosen() async throws {
        try await withServer { adapter in
            adapter.onWebSocketEvent("which") { socket, _, reply in reply?(Payload(socket.subprotocol ?? "none")) }
        } run: { server in
            let client = try await TestClient.connect(to: server.address, subprotocols: ["aa", "bb"])
            #expect(try await client.request("which") == "aa")
            #expect(try await server.connect().request("which") == "none")
        }
    }
}

private let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
