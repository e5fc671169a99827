import CrossServerClient
import CrossServerTesting
import CrossServerWire
import NIOCore
import Synchronization
import Testing

/// A connector that goes through the steps of a case, and what its listeners have heard.
final class ConformanceRun {
    /// What a listener has heard, by the keys of the table.
    typealias Heard = [String: Payload]

    private struct Request {
        var reply: Task<Payload, any Error>
        var pendingCalls: Counter
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    private struct Mistake: Error {}

    private let client: WebSocketConnector
    private var server: ScriptedServer
    private let port: Int
    private let script: ScriptedServer.Script
    private let heard = Inbox<Heard>()
    private let received: Inbox<String>
    private var requests: [String: Request] = [:]
    private var ids: [String: String] = [:]
    private var handles: [String: ListenerHandle] = [:]
    private var closesSeen = 0

    init(
        _ client: WebSocketConnector,
        _ server: ScriptedServer,
        _ script: ScriptedServer.Script,
        received: Inbox<String>
    ) {
        self.client = client
        self.server = server
        self.port = server.port
        self.script = script
        self.received = received
    }

    func listen(_ testCase: ConformanceCase) throws {
        let (client, heard) = (self.client, self.heard)
        client.on(.open) { heard.push(["client": "open"]) }
        client.on(.close) { close in
            heard.push(["client": "close", "code": Payload(Int(close.code.rawValue)), "reason": Payload(close.reason)])
        }
        client.on(.error) { error in
            heard.push([
                "client": "error", "code": Payload((error as? WebSocketConnectorError)?.code.description ?? ""),
            ])
        }
        client.on(.pongTimeout) { heard.push(["client": "pong-timeout"]) }
        client.on(.repeatLimit) { limit in heard.push(["client": "repeat-limit", "limit": Payload(limit)]) }
        client.on(.reconnect) { attempt, delay in
            let milliseconds = Int(delay / .milliseconds(1))
            heard.push(["client": "reconnect", "attempt": Payload(attempt), "delay": Payload(milliseconds)])
        }
        for name in testCase.names("log") {
            switch name {
            case "ping": client.on(.ping) { heard.push(["client": "ping"]) }
            case "pong": client.on(.pong) { _ in heard.push(["client": "pong"]) }
            case "message":
                client.on(.message) { message in
                    heard.push(["client": "message", "text": Payload(String(buffer: message.payload))])
                }
            default: throw UnknownStep(description: name)
            }
        }
        for event in testCase.names("listen") { self.add(event, tag: nil, once: false) }
        for answer in testCase.answers { try self.add(answer: answer) }
    }

    @discardableResult
    private func add(_ event: String, tag: String?, once: Bool) -> ListenerHandle {
        let listener: @Sendable (Payload) throws -> Void = { [heard = self.heard] payload in
            var item: Heard = ["client": "event", "event": Payload(event)]
            if !payload.isAbsent { item["payload"] = payload }
            if let tag { item["tag"] = Payload(tag) }
            heard.push(item)
        }
        return once ? self.client.once(event, tag: tag, listener) : self.client.on(event, tag: tag, listener)
    }

    private func add(answer: Payload) throws {
        let event = try answer.text("event")
        let delay = try answer.milliseconds("after") ?? .zero
        if answer["throws"] == true {
            self.client.on(event) { _ in throw Mistake() }
        } else if let failure = try answer["fails"]?.decode(RequestFailure.self) {
            self.client.on(event) { _ in throw failure }
        } else if let value = answer["returns"] {
            self.client.on(event) { _, reply in
                // A handler that takes its time, as the case says; nothing waits for this to be over.
                try await Task.sleep(for: delay)
                reply?(value)
            }
        } else {
            self.client.on(event) { _ in }
        }
    }

    func finish(_ testCase: ConformanceCase) async throws {
        if !testCase.ignoresRest { #expect(self.heard.all.isEmpty, "more was heard") }
        if !testCase.ignoresReceived { #expect(self.received.all.isEmpty, "more was received") }
        for request in self.requests.values { request.reply.cancel() }
        self.client.manualClose()
        // A frozen one does not answer the Close frame.
        try await self.server.kill()
    }

    func perform(_ step: Payload) async throws {
        if step["do"] != nil { return try await self.act(step) }
        if step["server"] != nil { return try await self.serve(step) }
        if step["client"] != nil { return try await self.expectHeard(step) }
        if step["reply"] != nil { return try await self.expectReply(step) }
        if let text = step["received"]?.string { return try await self.expectReceived(text) }
        if let name = step["skipTo"]?.string { return try await self.skip(to: name, step) }
        if let state = step["state"] { return try self.expect(state: state) }
        if let name = step["pending"]?.string {
            let request = try #require(self.requests[name])
            return try await eventually { request.pendingCalls.value.load(ordering: .relaxed) == 1 }
        }
        if let name = step["notPending"]?.string {
            return #expect(self.requests[name]?.pendingCalls.value.load(ordering: .relaxed) == 0)
        }
        if let target = step["target"]?.string {
            return #expect(self.server.connections.last?.request.target == target)
        }
        if let count = step["connections"] {
            let count = try count.decode(Int.self)
            return try await eventually { self.server.accepts == count }
        }
        if let closed = step["closed"] { return try await self.expect(closed: closed) }
        throw UnknownStep(description: step.json)
    }
}

// What the application and the server do
extension ConformanceRun {
    private func act(_ step: Payload) async throws {
        switch try step.text("do") {
        case "emit": try self.emit(step)
        case "send":
            let (event, payload) = (try step.text("event"), step["payload"] ?? .absent)
            guard let code = step["fails"]?.string else { return try self.client.send(event, payload) }
            let error = #expect(throws: WebSocketConnectorError.self) { try self.client.send(event, payload) }
            #expect(error?.code.description == code)
        case "reconnect": self.client.reconnect(resetAttempts: step["reset"] == true)
        case "manualClose": self.client.manualClose()
        case "setPingInterval":
            let interval = try #require(try step.milliseconds("interval"))
            self.client.setPingInterval(interval, immediate: step["immediate"] == true)
        case "on", "once":
            let isOnce = step["do"]?.string == "once"
            let handle = self.add(try step.text("event"), tag: step["tag"]?.string, once: isOnce)
            if let name = step["handle"]?.string { self.handles[name] = handle }
        case "off":
            if let name = step["handle"]?.string {
                self.client.off(try #require(self.handles[name]))
            } else {
                self.client.off(try step.text("event"), tag: step["tag"]?.string)
            }
        case let name: throw UnknownStep(description: name)
        }
    }

    private func emit(_ step: Payload) throws {
        let event = try step.text("event")
        let (timeout, pendingTimeout) = (try step.milliseconds("timeout"), try step.milliseconds("pendingTimeout"))
        let calls = Counter()
        let reply = Task { [client = self.client] in
            try await client.emit(
                event,
                step["payload"] ?? .absent,
                timeout: timeout,
                pendingTimeout: pendingTimeout
            ) {
                calls.value.wrappingAdd(1, ordering: .relaxed)
            }
        }
        self.requests[try step.text("as")] = Request(reply: reply, pendingCalls: calls)
    }

    private func serve(_ step: Payload) async throws {
        switch try step.text("server") {
        case "stops": return try await self.server.kill()
        case "starts":
            self.server = try await .start(port: self.port, self.script)
            return
        default: break
        }
        let connection = try #require(self.server.connections.last)
        switch try step.text("server") {
        case "sends": connection.send(self.withIds(try step.text("text")))
        case "sendsBinary": connection.sendBinary(try step.bytes())
        case "writes": connection.write(try step.bytes())
        case "closes":
            let code = try #require(step["code"]).decode(UInt16.self)
            connection.close(CloseCode(rawValue: code), try step.text("reason"))
        case "cuts": connection.end()
        case let name: throw UnknownStep(description: name)
        }
    }
}

// What must have happened
extension ConformanceRun {
    private func expectHeard(_ step: Payload) async throws {
        let heard = try await self.heard.next(within: step.milliseconds("within") ?? .seconds(20))
        for key in ["client", "code", "reason", "attempt", "limit", "event", "payload", "tag", "text"] {
            guard let expected = step[key] else { continue }
            #expect(heard[key]?.comparable == expected.comparable, "\(key) of \(step.json)")
        }
        if let least = step["atLeast"] {
            #expect(try #require(heard["delay"]).decode(Int.self) >= least.decode(Int.self), "\(step.json)")
        }
    }

    private func skip(to name: String, _ step: Payload) async throws {
        while true {
            let heard = try await self.heard.next()
            guard heard["client"]?.string == name else { continue }
            if let attempt = step["attempt"], heard["attempt"] != attempt { continue }
            return
        }
    }

    private func expectReceived(_ expected: String) async throws {
        let found = try await self.received.next()
        if let name = expected.firstMatch(of: /\$(r[0-9]+)/)?.1, self.ids[String(name)] == nil {
            let id = found.firstMatch(of: /"callbackId":"(~[0-9a-z]{8,9}-[0-9a-z]{4}-[0-9a-z]+)"/)?.1
            self.ids[String(name)] = try String(#require(id, "no callback id in \(found)"))
        }
        #expect(found == self.withIds(expected))
    }

    private func expectReply(_ step: Payload) async throws {
        let name = try step.text("reply")
        let request = try #require(self.requests[name])
        let start = ContinuousClock.now
        let result = await request.reply.result
        #expect(ContinuousClock.now - start < (try step.milliseconds("within") ?? .seconds(20)))
        guard let code = step["code"]?.string else {
            return #expect(try result.get().json == step["payload"]?.json ?? "")
        }
        let message = self.withIds(try step.text("message"))
        switch result {
        case .success(let payload): Issue.record("a reply came: \(payload.json)")
        case .failure(let failure as RequestFailure): #expect(failure == RequestFailure(code: code, message: message))
        case .failure(let error as WebSocketConnectorError):
            #expect(error.code.description == code)
            #expect(error.message == message)
        case .failure(let error): throw error
        }
    }

    private func expect(state: Payload) throws {
        if let isOpen = state["open"] { #expect(self.client.isOpen == (isOpen == true)) }
        if let isReconnecting = state["reconnecting"] {
            #expect(self.client.isReconnecting == (isReconnecting == true))
        }
        if let interval = try state.milliseconds("pingInterval") { #expect(self.client.pingInterval == interval) }
    }

    private func expect(closed: Payload) async throws {
        let connection = try #require(self.server.connections.dropFirst(self.closesSeen).first)
        self.closesSeen += 1
        try await eventually { connection.close != nil }
        #expect(try connection.close?.code.rawValue == closed["code"]?.decode(UInt16.self))
        #expect(connection.close?.reason == closed["reason"]?.string)
    }

    private func withIds(_ text: String) -> String {
        self.ids.reduce(text) { $0.replacing("$\($1.key)", with: $1.value) }
    }
}

extension Payload {
    fileprivate func text(_ key: String) throws -> String {
        try #require(self[key]?.string, "no \(key) in \(self.json)")
    }

    fileprivate func milliseconds(_ key: String) throws -> Duration? {
        try self[key].map { .milliseconds(try $0.decode(Int.self)) }
    }

    fileprivate func bytes() throws -> [UInt8] {
        try #require(self["bytes"]).decode([UInt8].self)
    }

    /// The same for a string however it is escaped.
    fileprivate var comparable: String { self.string ?? self.json }
}
