import CrossServer
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

private struct Wait: Event {
    static let name = "typedWait"
    var number: Int
    struct Reply: Codable { var number: Int }
}

/// Lets handlers wait for the test, whether they are cancelled or not.
private final class Gate: Sendable {
    private let state = Mutex((isOpen: false, waiting: [CheckedContinuation<Void, Never>](), count: 0))

    var count: Int { self.state.withLock { $0.count } }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = self.state.withLock { state in
                state.count += 1
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = self.state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Lets the first go that waits.
    func letOneGo() {
        self.state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }?.resume()
    }
}

/// How long handlers run, and what runs beside them.
@Suite(.timeLimit(.minutes(2))) struct HandlerTests {
    @Test func theEndOfAConnectionCancelsItsHandlers() async throws {
        let events = Mutex<[String]>([])
        try await withServer { adapter in
            adapter.onWebSocketEvent("forever", options: .concurrent) { _, _, reply in
                reply?(.absent)
                try? await Task.sleep(for: .seconds(3_600))  // throws when it is cancelled
                events.withLock { $0.append("concurrent") }
            }
            adapter.onWebSocketEvent("next") { _, _, reply in
                reply?(.absent)
                try? await Task.sleep(for: .seconds(3_600))  // throws when it is cancelled
                events.withLock { $0.append("next") }
            }
            adapter.onWebSocketEvent(.close) { socket, _, _, _ in
                await Task.yield()
                events.withLock { $0.append("close \(Task.isCancelled)") }
            }
        } run: { server in
            let client = try await server.connect()
            _ = try await client.request("forever")
            _ = try await client.request("next")
            // One that begins when there is no connection any more is cancelled from its first moment on.
            client.emit("next")
            try await eventually { server.adapter.statistics.messagesReceived == 3 }
            client.terminate()
            try await eventually { server.adapter.socketClientCount == 0 }
            let all = events.withLock { $0 }
            #expect(all.sorted() == ["close false", "concurrent", "next", "next"] && all.last == "close false")
            #expect(server.adapter.statistics.handlerFailures == 0)
        }
    }

    @Test func aHandlerThatOutlivesItsConnectionTakesNoPlace() async throws {
        let gate = Gate()
        let events = Mutex<[String]>([])
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumConnectionsPerAddress = 1
        configuration.limits.maximumConnections = 1
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("buy", options: .outlivesConnection) { socket, _, reply in
                reply?(.absent)
                await gate.wait()
                events.withLock { $0.append("bought \(Task.isCancelled) \(socket.id ?? "")") }
            }
            adapter.onWebSocketEvent(.connection) { socket, request in
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
            }
            adapter.onWebSocketEvent(.close) { _, _, _, _ in events.withLock { $0.append("close") } }
        } run: { server in
            let client = try await server.connect("/?id=1")
            _ = try await client.request("buy")
            client.terminate()
            try await eventually { server.adapter.statistics.lingeringClients == 1 }
            let next = try await server.connect("/?id=2")
            #expect(server.adapter.socketClientCount == 2)
            #expect(events.withLock { $0 }.isEmpty)
            gate.open()
            try await eventually { server.adapter.socketClientCount == 1 }
            #expect(events.withLock { $0 } == ["bought false 1", "close"])
            next.close()
        }
    }

    /// It keeps neither an id nor a room, and there cannot be any number of them.
    @Test func handlersThatDoNotHeedTheirCancellationAreBounded() async throws {
        let gate = Gate()
        let closed = Mutex(0)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.handlerEndTimeout = .milliseconds(10)
        configuration.limits.maximumLingeringClients = 2
        configuration.limits.handshakeTimeout = .seconds(1)
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("hang") { _, _, reply in
                reply?(.absent)
                await gate.wait()
            }
            adapter.onWebSocketEvent(.connection) { socket, request in
                try adapter.setUserSocket(request.parameters["id"] ?? "", socket)
                try await adapter.joinRoom("r", in: "n", request.parameters["id"] ?? "")
            }
            adapter.onWebSocketEvent(.close) { _, _, _, _ in
                await Task.yield()
                closed.withLock { $0 += 1 }
            }
        } run: { server in
            for id in ["1", "2"] {
                let client = try await server.connect("/?id=\(id)")
                _ = try await client.request("hang")
                client.terminate()
            }
            try await eventually { server.adapter.statistics.boundIds == 0 }
            #expect(closed.withLock { $0 } == 2)
            #expect(server.adapter.statistics.rooms == 0)
            #expect(server.adapter.statistics.lingeringClients == 2)
            let error = await #expect(throws: WebSocketHandshakeError.self) { try await server.connect("/?id=3") }
            guard case .rejected(status: 503, _, _)? = error else {
                Issue.record("the third got \(String(describing: error))")
                return
            }
            gate.open()
            try await eventually { server.adapter.statistics.lingeringClients == 0 }
            try await server.connect("/?id=3").close()
            #expect(closed.withLock { $0 } >= 2)
        }
    }

    @Test func concurrentHandlersRunBesideTheNextMessage() async throws {
        let gate = Gate()
        try await withServer { adapter in
            adapter.onWebSocketEvent("wait", options: .concurrent) { _, payload, reply in
                await gate.wait()
                reply?(payload)
            }
            adapter.onWebSocketEvent(Wait.self, options: .concurrent) { wait, _ in
                await gate.wait()
                return Wait.Reply(number: wait.number)
            }
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            let client = try await server.connect()
            async let raw = client.request("wait", 1)
            async let typed = client.request("typedWait", ["number": 2])
            try await eventually { gate.count == 2 }
            #expect(try await client.request("echo", 3) == 3)
            gate.open()
            #expect(try await raw == 1)
            #expect(try await typed == ["number": 2])
        }
    }

    @Test func concurrentHandlersOfOneClientAreBounded() async throws {
        let gate = Gate()
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.limits.maximumConcurrentHandlersPerClient = 2
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("wait", options: .concurrent) { socket, payload, _ in
                await gate.wait()
                try socket.emit("waited", payload)
            }
            adapter.onWebSocketEvent("next") { socket, _, _ in try socket.emit("next") }
        } run: { server in
            let client = try await server.connect()
            let other = try await server.connect()
            for number in 0..<3 { client.emit("wait", Payload(number)) }
            client.emit("next")
            try await eventually { server.adapter.statistics.messagesReceived == 4 }
            #expect(gate.count == 2)
            // Those of another client are not concerned.
            other.emit("next")
            #expect(try await other.nextText() == #"{"event":"next"}"#)
            gate.letOneGo()
            #expect(try await client.nextText() == #"{"event":"waited","payload":0}"#)
            try await eventually { gate.count == 3 }
            gate.letOneGo()
            #expect(try await client.nextText() == #"{"event":"waited","payload":1}"#)
            #expect(try await client.nextText() == #"{"event":"next"}"#)
            gate.open()
        }
    }
}
