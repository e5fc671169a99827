import CrossServerClient
import CrossServerTesting
import NIOCore
import Synchronization
import Testing

private struct Tick: Event {
    static let name = "tick"
    var n: Int
}

@Suite struct ListenerTests {
    @Test(.timeLimit(.minutes(1)))
    func everyFormOfListener() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(Tick.self) { tick in seen.add("typed \(tick.n)") }
                client.on(Tick.self) { tick in
                    await Task.yield()
                    seen.add("typed async \(tick.n)")
                }
                client.on("tick") { payload in seen.add("raw \(payload.json)") }
                client.on("tick") { payload in
                    await Task.yield()
                    seen.add("raw async \(payload.json)")
                }
                client.once(Tick.self) { tick in seen.add("once \(tick.n)") }
                client.once(Tick.self) { tick in
                    await Task.yield()
                    seen.add("once async \(tick.n)")
                }
                client.once("tick") { _ in throw CancellationError() }
                client.once("tick") { _ in await Task.yield() }
                client.on(.message) { message in seen.add("message \(String(buffer: message.payload))") }
            } _: { _, log in
                try await log.wait(for: "open")
                server.connections[0].send(#"{"event":"tick","payload":{"n":1}}"#)
                server.connections[0].send(#"{"event":"tick","payload":{"n":2}}"#)
                try await seen.wait(for: #"message {"event":"tick","payload":{"n":2}}"#)
                #expect(
                    seen.all.filter { !$0.contains("async") } == [
                        "typed 1", #"raw {"n":1}"#, "once 1", #"message {"event":"tick","payload":{"n":1}}"#,
                        "typed 2", #"raw {"n":2}"#, #"message {"event":"tick","payload":{"n":2}}"#,
                    ]
                )
                for line in ["typed async 1", #"raw async {"n":1}"#, "once async 1", "typed async 2"] {
                    try await seen.wait(for: line)
                }
                try await seen.wait(for: #"raw async {"n":2}"#)
                #expect(seen.all.count == 12)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func removesByHandleTagAndEvent() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let handle = client.on("a") { _ in seen.add("handle") }
                client.on("a", tag: "x") { _ in seen.add("tag") }
                client.on("a") { _ in seen.add("plain") }
                client.on(Tick.self) { _ in seen.add("tick") }
                client.on(Tick.self, tag: "x") { _ in seen.add("tick tag") }
                client.on("end") { _ in seen.add("end") }
                client.off(handle)
                client.off(handle)
                client.off("a", tag: "x")
                client.off(Tick.self, tag: "x")
                for text in [#"{"event":"a"}"#, #"{"event":"tick","payload":{"n":1}}"#, #"{"event":"end"}"#] {
                    server.connections[0].send(text)
                }
                try await seen.wait(for: "end")
                #expect(seen.all == ["plain", "tick", "end"])
                client.off("a")
                client.off(Tick.self)
                for text in [#"{"event":"a"}"#, #"{"event":"tick","payload":{"n":1}}"#, #"{"event":"end"}"#] {
                    server.connections[0].send(text)
                }
                try await seen.wait(for: "end", count: 2)
                #expect(seen.all == ["plain", "tick", "end", "end"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func removesSystemListeners() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(.open, tag: "x") { seen.add("tagged") }
                client.off(.open, tag: "x")
                client.once(.open) { seen.add("once") }
                client.off(client.on(.close) { _ in seen.add("removed") })
            } _: { client, log in
                try await log.wait(for: "open")
                client.reconnect()
                try await log.wait(for: "open", count: 2)
                #expect(seen.all == ["once"])
                client.off(.open)
                client.reconnect()
                try await log.wait(for: "close 4001 client manual close", count: 2)
                try await eventually { client.isOpen }
            }
            #expect(seen.all == ["once"])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func theSameClosureOnAndOnceIsTwoListeners() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let listener: @Sendable (Payload) throws -> Void = { _ in seen.add("ran") }
                client.on("a", listener)
                client.once("a", listener)
                client.on("end") { _ in seen.add("end") }
                for _ in 0..<3 { server.connections[0].send(#"{"event":"a"}"#) }
                server.connections[0].send(#"{"event":"end"}"#)
                try await seen.wait(for: "end")
                #expect(seen.count("ran") == 4)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aListenerRemovedWithinAPassDoesNotRun() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                client.on("a") { [weak client] _ in
                    seen.add("first")
                    client?.off("a", tag: "second")
                }
                client.on("a", tag: "second") { _ in seen.add("second") }
                client.on("a") { _ in seen.add("third") }
                server.connections[0].send(#"{"event":"a"}"#)
                try await seen.wait(for: "third")
                #expect(seen.all == ["first", "third"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aServerCannotRunSystemListeners() async throws {
        let names = [
            "open", "close", "error", "message", "ping", "pong", "pong-timeout", "pongTimeout", "repeat-limit",
            "repeatLimit", "reconnect", "constructor", "__proto__", "toString", "",
        ]
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(.ping) { seen.add("ping") }
                client.on(.pong) { _ in seen.add("pong") }
                for name in names { client.on(name) { _ in seen.add("event \(name)") } }
            } _: { _, log in
                try await log.wait(for: "open")
                for name in names { server.connections[0].send(#"{"event":"\#(name)","payload":{"code":4011}}"#) }
                try await seen.wait(for: "event ")
                #expect(seen.all == names.map { "event \($0)" })
                #expect(log.all == ["open"])
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func hostileMessagesDoNoHarm() async throws {
        let messages = [
            "{", "null", "[]", "\"x\"", "{}", "7", #"{"event":7}"#, #"{"event":null}"#, #"{"event":{"a":1}}"#,
            #"{"payload":1,"callbackId":"unknown"}"#, #"{"payload":1,"callbackId":7}"#, #"{"callbackId":{}}"#,
            #"{"callbackId":"\#(String(repeating: "a", count: 10_000))"}"#, #"{"event":"tick"}"#,
            #"{"event":"tick","payload":{"n":"x"}}"#, #"{"event":"constructor","payload":{}}"#,
            String(repeating: "[", count: 100_000), #"{"event":"a","callbackId":"x","payload":1}"#,
            #"{"error":{"code":"x"},"callbackId":"x"}"#, String(repeating: "é", count: 100_000),
        ]
        try await withScriptedServer { server in
            let seen = EventLog()
            try await withClient(server.url) { client in
                client.on(Tick.self) { _ in seen.add("tick") }
                client.on("a") { _ in seen.add("a") }
                client.on("end") { _ in seen.add("end") }
            } _: { client, log in
                try await log.wait(for: "open")
                async let reply = client.emit("get")
                try await eventually { server.connections[0].texts.count == 1 }
                for message in messages { server.connections[0].send(message) }
                server.connections[0].sendBinary([0xFF, 0x00])
                let id = try #require(try Payload(json: server.connections[0].texts[0])["callbackId"]?.string)
                server.connections[0].send(#"{"payload":"right","callbackId":"\#(id)"}"#)
                #expect(try await reply == "right")
                server.connections[0].send(#"{"event":"end"}"#)
                try await seen.wait(for: "end")
                #expect(seen.all == ["end"])
                #expect(client.isOpen)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func aMessageThatIsTooBigEndsTheConnection() async throws {
        try await withScriptedServer { server in
            try await withClient(server.url, .quick { $0.maximumMessageSize = 1_000 }) { _, log in
                try await log.wait(for: "open")
                server.connections[0].send(String(repeating: "x", count: 1_001))
                try await log.wait(for: "open", count: 2)
                #expect(Array(log.all.prefix(2)) == ["open", "error"])
                #expect(log.all[2].hasPrefix("close 1009"))
                try await eventually { server.connections[0].close?.code == .messageTooBig }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func slowHandlersHoldBackMessagesButLoseNone() async throws {
        try await withScriptedServer { server in
            let seen = EventLog()
            let configuration = WebSocketConnector.Configuration.quick {
                $0.maximumQueuedMessages = 4
                $0.maximumRunningListeners = 2
                $0.pingInterval = .milliseconds(50)
                $0.pongTimeout = .seconds(5)
            }
            try await withClient(server.url, configuration) { client in
                client.on("a", oneAtATime: true) { payload in
                    // The time itself is tested: longer than a pong may take, which is long enough for a busy machine.
                    if payload == 0 { try await Task.sleep(for: .seconds(6)) }
                    await Task.yield()
                    seen.add(payload.json)
                }
            } _: { _, log in
                try await log.wait(for: "open")
                // More than is read at once.
                let padding = String(repeating: " ", count: 1_000)
                for number in 0..<200 { server.connections[0].send(#"{"event":"a","payload":\#(number)\#(padding)}"#) }
                try await seen.wait(for: "199")
                #expect(seen.all == (0..<200).map { "\($0)" })
                #expect(log.all == ["open"], "heartbeats are not counted while nothing is read")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func repliesAndClosesDoNotWaitForHandlers() async throws {
        let script = ScriptedServer.Script(onMessage: { connection, text in
            guard let id = try? Payload(json: text)["callbackId"]?.string else { return }  // an event is not answered
            connection.send(#"{"payload":"done","callbackId":"\#(id)"}"#)
        })
        try await withScriptedServer(script) { server in
            let seen = EventLog()
            let (gate, opening) = AsyncStream.makeStream(of: Void.self)
            try await withClient(server.url) { client in
                client.on("a") { [weak client] _ in
                    let reply = try await client?.emit("get")
                    seen.add(reply?.json ?? "")
                    for await _ in gate {}
                    seen.add("end")
                }
            } _: { client, log in
                defer { opening.finish() }
                try await log.wait(for: "open")
                server.connections[0].send(#"{"event":"a"}"#)
                try await seen.wait(for: #""done""#)
                server.connections[0].close(.goingAway, "bye")
                try await eventually { !client.isOpen }
                try await eventually { server.connections[0].close?.wasClean == true }
                try await log.wait(for: "close 1001 bye")
                #expect(seen.count("end") == 0)
                opening.finish()
                try await seen.wait(for: "end")
            }
        }
    }

    enum LettingGo: CaseIterable { case byEvent, byTag, byHandle, ofTheConnector, atTheEnd }

    /// A lock that is held would be taken twice, which ends the process.
    @Test(.timeLimit(.minutes(1)), arguments: LettingGo.allCases)
    func whatAListenerHoldsMayCallTheConnectorAtItsEnd(_ way: LettingGo) async throws {
        let seen = EventLog()
        try await withScriptedServer { server in
            try await withClient(server.url) { client, log in
                try await log.wait(for: "open")
                let handle: ListenerHandle
                do {
                    let held = CallsBack(client, seen)
                    handle =
                        way == .ofTheConnector
                        ? client.on(.pong, tag: "x") { _ in withExtendedLifetime(held) {} }
                        : client.on("a", tag: "x") { _ in withExtendedLifetime(held) {} }
                }
                #expect(seen.all.isEmpty)
                switch way {
                case .byEvent: client.off("a")
                case .byTag: client.off("a", tag: "x")
                case .byHandle: client.off(handle)
                case .ofTheConnector: client.off(.pong, tag: "x")
                case .atTheEnd: return
                }
            }
        }
        try await seen.wait(for: "gone")
    }
}

/// Calls the connector when nobody holds it any more.
private final class CallsBack: Sendable {
    private let client: WebSocketConnector
    private let log: EventLog

    init(_ client: WebSocketConnector, _ log: EventLog) {
        self.client = client
        self.log = log
    }

    deinit {
        self.client.off("nothing")
        self.log.add("gone")
    }
}
