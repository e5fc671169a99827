import ArgumentParser
import CrossServerClient
import CrossServerWire
import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// One run of `connect`: a client and what is said about it.
struct ConnectSession: Sendable {
    /// How it ends for the shell.
    enum Outcome: Int32, Comparable {
        case success = 0
        case connectionFailed = 1
        case requestFailed = 3

        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    let client: WebSocketConnector
    let timeout: Duration
    /// Shows every message of the server as it came.
    let isRaw: Bool

    static func milliseconds(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        return String(format: "%.1f ms", Double(seconds) * 1e3 + Double(attoseconds) / 1e15)
    }

    /// The error in words for a person.
    static func describe(_ error: any Error) -> String {
        switch error {
        case let error as WebSocketConnectorError: error.message
        case let error as RequestFailure: error.description
        case let error as NIOConnectionError:
            if let failure = error.connectionErrors.last {
                "\(endpoint(host: error.host, port: error.port)): \((failure.error as? IOError).map { Self.words($0.errnoCode) } ?? "\(failure.error)")"
            } else {
                "the name \(error.host) cannot be resolved"
            }
        case let error as WebSocketHandshakeError:
            switch error {
            case .rejected(let status, _, _): "the server refused the WebSocket with HTTP status \(status)"
            case .invalidResponse(let problem): "the server's answer is no WebSocket handshake: \(problem)"
            case .closed: "the server ended the connection during the handshake"
            }
        default: "\(error)"
        }
    }

    private static func words(_ code: CInt) -> String {
        String(cString: strerror(code))
    }

    static func complain(_ message: String) {
        writeAll("Error: \(LogText.escaped(message))\n", to: STDERR_FILENO)
    }
}

// A pipe
extension ConnectSession {
    /// Sends each line and prints its reply. Ends with the input or with the connection.
    func runPiped() async throws -> Outcome {
        let input = try StandardInput()
        let failure = Mutex<String?>(nil)
        let (opened, opening) = AsyncStream.makeStream(of: Void.self)
        self.client.on(.open) { opening.yield() }
        self.client.on(.error) { error in
            failure.withLock { $0 = $0 ?? "no connection: \(Self.describe(error))" }
            self.client.manualClose()
        }
        self.client.on(.close) { close in
            guard close.code != .closedByHand else { return }
            failure.withLock { $0 = $0 ?? "the server closed the connection: \(close.code) \(close.reason)" }
            self.client.manualClose()
        }
        if self.isRaw {
            // As it came for a program, but not for a terminal.
            let escapes = isatty(STDOUT_FILENO) != 0
            self.client.on(.message) { message in
                let text = String(buffer: message.payload)
                writeAll((escapes ? LogText.escaped(text) : text) + "\n", to: STDOUT_FILENO)
            }
        }
        let outcome = try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                try await self.client.run()
                opening.finish()
                input.stop()
            }
            var outcome = Outcome.success
            if await opened.first(where: { _ in true }) != nil { outcome = await self.sendLines(of: input) }
            self.client.manualClose()
            try await tasks.waitForAll()
            return outcome
        }
        guard let message = failure.withLock({ $0 }) else { return outcome }
        Self.complain(message)
        return .connectionFailed
    }

    private func sendLines(of input: StandardInput) async -> Outcome {
        var splitter = LineSplitter()
        var outcome = Outcome.success
        var number = 0
        while let chunk = await input.read() {
            for line in splitter.append(chunk) {
                number += 1
                outcome = max(outcome, await self.send(line, number: number))
                if !self.client.isOpen { return outcome }
            }
        }
        if let last = splitter.finish(), last != .text("") {
            outcome = max(outcome, await self.send(last, number: number + 1))
        }
        return outcome
    }

    private func send(_ line: LineSplitter.Line, number: Int) async -> Outcome {
        switch line {
        case .notUTF8: Self.complain("line \(number) is not UTF-8")
        case .tooLong: Self.complain("line \(number) is longer than \(LineSplitter.maximumLength) bytes")
        case .text(let text):
            do throws(ConnectLine.Problem) {
                switch try ConnectLine(text, allowsCommands: false) {
                case .request(let event, let payload): return await self.request(event, payload, number: number)
                case .empty, .send, .help, .history, .ping, .quit: return .success
                }
            } catch {
                writeAll("Error: line \(number): \(error.text(line: text))\n", to: STDERR_FILENO)
            }
        }
        return .requestFailed
    }

    private func request(_ event: String, _ payload: Payload, number: Int) async -> Outcome {
        do {
            let reply = try await self.client.emit(event, payload, timeout: self.timeout)
            if !self.isRaw { printLine(reply.isAbsent ? "null" : TerminalText.line(json: reply.json)) }
            return .success
        } catch {
            Self.complain("line \(number): \(Self.describe(error))")
            return .requestFailed
        }
    }
}
