import CrossServerClient
import CrossServerWire
import Foundation
import NIOCore
import UnixSignals

// A terminal
extension ConnectSession {
    private static let help = """
        event {json}        send a request and wait for the reply; the payload may be left out
        /send event {json}  send without asking for a reply
        /ping               send a heartbeat and show its round trip
        /history            show what was typed
        /quit               leave, as control-D and control-C on an empty line
        """
    /// Requests whose replies are awaited at once.
    private static let maximumRequests = 64

    func runOnTerminal(reconnects: Bool) async throws -> Outcome {
        let screen = ConnectScreen()
        let input = try StandardInput()
        self.announce(on: screen, reconnects: reconnects)
        try RawTerminal.enter()
        defer {
            screen.close()
            RawTerminal.restore()
        }
        screen.open()
        let hasLeft = try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                try await self.client.run()
                input.stop()
            }
            tasks.addTask {
                for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup) { input.stop() }
            }
            let hasLeft = await self.readLines(of: input, on: screen)
            self.client.manualClose()
            _ = try await tasks.next()
            tasks.cancelAll()
            return hasLeft
        }
        return hasLeft ? .success : .connectionFailed
    }

    /// - Returns: false when the connector has ended by itself.
    private func readLines(of input: StandardInput, on screen: ConnectScreen) async -> Bool {
        await withTaskGroup(of: Void.self) { requests in
            var waiting = 0
            while let bytes = await input.read() {
                let (lines, quits) = screen.typed(bytes)
                for line in lines {
                    if waiting >= Self.maximumRequests {
                        await requests.next()
                        waiting -= 1
                    }
                    guard let request = self.perform(line, on: screen) else { continue }
                    if request.quits {
                        requests.cancelAll()
                        return true
                    }
                    waiting += 1
                    requests.addTask { await request.body() }
                }
                if quits {
                    requests.cancelAll()
                    return true
                }
            }
            requests.cancelAll()
            return false
        }
    }

    private struct Step: Sendable {
        var quits = false
        var body: @Sendable () async -> Void = {}
    }

    private func perform(_ line: String, on screen: ConnectScreen) -> Step? {
        do {
            switch try ConnectLine(line) {
            case .empty: break
            case .request(let event, let payload):
                return Step { await self.request(event, payload, on: screen) }
            case .send(let event, let payload): try self.client.send(event, payload)
            case .help: screen.print(Self.help)
            case .history: for line in screen.history { screen.print("  " + LogText.escaped(line)) }
            case .ping:
                self.client.once(.pong) { roundTrip in screen.print("pong (\(Self.milliseconds(roundTrip)))") }
                self.client.sendHeartbeat()
            case .quit: return Step(quits: true)
            }
        } catch let problem as ConnectLine.Problem {
            screen.print("error: " + problem.text(line: line))
        } catch {
            screen.print("error: " + LogText.escaped(Self.describe(error)))
        }
        return nil
    }

    private func request(_ event: String, _ payload: Payload, on screen: ConnectScreen) async {
        let start = ContinuousClock.now
        let name = LogText.escaped(event)
        do {
            let reply = try await self.client.emit(event, payload, timeout: self.timeout)
            let time = Self.milliseconds(ContinuousClock.now - start)
            if self.isRaw { return }
            screen.print("< \(name) (\(time)) \(LogText.escaped(reply.isAbsent ? "no payload" : reply.json))")
        } catch is CancellationError {
            // The user has left.
        } catch {
            screen.print("< \(name) error: \(LogText.escaped(Self.describe(error)))")
        }
    }

    private func announce(on screen: ConnectScreen, reconnects: Bool) {
        self.client.on(.open) { screen.print("connected; /help lists the commands") }
        self.client.on(.close) { close in
            if close.code == .closedByHand { return }
            let reason = LogText.escaped(close.reason)
            screen.print("closed: \(close.code)\(reason.isEmpty ? "" : " \(reason)")")
            if reconnects, close.code.allowsReconnect {
                self.client.reconnect()
            } else {
                self.client.manualClose()
            }
        }
        self.client.on(.error) { error in
            screen.print("error: " + LogText.escaped(Self.describe(error)))
            // Nobody can log in differently here.
            let isRefused = (error as? WebSocketConnectorError)?.code == .authenticationFailed
            if isRefused || !reconnects { self.client.manualClose() }
        }
        self.client.on(.reconnect) { attempt, delay in
            if reconnects { screen.print("attempt \(attempt) to connect again in \(Self.milliseconds(delay))") }
        }
        self.client.on(.pongTimeout) { screen.print("no answer to the heartbeat") }
        self.client.on(.message) { message in self.show(message, on: screen) }
    }

    private func show(_ message: WebSocketMessage, on screen: ConnectScreen) {
        let text = String(buffer: message.payload)
        if self.isRaw { return screen.print("< " + LogText.escaped(text)) }
        do throws(JSONError) {
            let json = try Payload(json: message.payload)
            // A reply is shown with its request.
            if let id = json["callbackId"], id != .null { return }
            guard let event = json["event"]?.string else { return screen.print("< " + LogText.escaped(text)) }
            let payload = json["payload"]?.json ?? ""
            screen.print("* \(LogText.escaped(event)) \(LogText.escaped(payload))")
        } catch {
            screen.print("< " + LogText.escaped(text))
        }
    }
}
