import CrossServer
import NIOCore
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What a server that dies and is born again under its name is asked, and what it says by itself.
final class Lives: Sendable {
    private struct State: Sendable {
        /// Which lives have answered, one after the other.
        var answers: [String] = []
        var answerCount = 0
        var missing: [String: Int] = [:]
        var pending = 0
        /// The longest time that a request waited, in milliseconds.
        var longest = 0.0
        var isAsking = false
        /// By the life that sent them.
        var heard: [String: Count] = [:]
        var told = 0
        var isTelling = false
        /// Requests that are never answered.
        var unanswered: [ServerReply] = []
    }

    private let adapter: WebSocketCrossServerAdapter
    private let state = Mutex(State())
    private let life = String(getpid())

    init(_ adapter: WebSocketCrossServerAdapter) {
        self.adapter = adapter
    }

    func listen() {
        let life = self.life
        self.adapter.onCrossServerEvent("who") { _, reply in reply?(Payload(life)) }
        self.adapter.onCrossServerEvent("hang") { _, reply in
            if let reply { self.state.withLock { $0.unanswered.append(reply) } }
        }
        self.adapter.onCrossServerEvent("life") { event, _ in
            guard let stamp = LoadStamp(event.payload), let life = event.payload.array?.last?.string else {
                fatalError("no message of this program: \(event.payload.json)")
            }
            self.state.withLock { $0.heard[life, default: Count()].add(stamp) }
        }
    }

    /// Asks the other server the same so often, or every 5 ms until it is to stop.
    func ask(_ event: String, count: Int?) {
        guard let count else {
            self.state.withLock { $0.isAsking = true }
            Task {
                while self.state.withLock({ $0.isAsking }) {
                    self.ask(event)
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            return
        }
        for _ in 0..<count { self.ask(event) }
    }

    private func ask(_ event: String) {
        let start = NIODeadline.now()
        self.state.withLock { $0.pending += 1 }
        do {
            try self.adapter.emitCrossServer(event, to: .server("receive"), timeout: .seconds(60)) { response in
                let elapsed = Double((NIODeadline.now() - start).nanoseconds) / 1e6
                self.state.withLock { state in
                    state.pending -= 1
                    state.longest = max(state.longest, elapsed)
                    switch response {
                    case .reply(_, let life, _):
                        state.answerCount += 1
                        if state.answers.last != life.string { state.answers.append(life.string ?? life.json) }
                    case .missing(let missing):
                        state.missing["\(missing.reason)", default: 0] += 1
                    }
                }
            }
        } catch {
            self.state.withLock { state in
                state.pending -= 1
                state.missing["not sent: \(error)", default: 0] += 1
            }
        }
    }

    /// Tells the other server something every 5 ms.
    func tell() {
        self.state.withLock { $0.isTelling = true }
        Task {
            do {
                while self.state.withLock({ $0.isTelling }) {
                    let stamp = LoadStamp(number: self.state.withLock { $0.told }, sentAt: .now())
                    try self.adapter.emitCrossServer("life", stamp.payload(self.life), to: .server("send"))
                    self.state.withLock { $0.told += 1 }
                    try await Task.sleep(for: .milliseconds(5))
                }
            } catch {
                fatalError("cannot tell the other server: \(error)")
            }
        }
    }

    func stop() {
        self.state.withLock { state in
            state.isAsking = false
            state.isTelling = false
        }
    }

    var report: Payload {
        let state = self.state.withLock { $0 }
        let heard = state.heard.map { life, count -> Payload in
            [
                "life": Payload(life), "received": Payload(count.received), "repeated": Payload(count.repeated),
                "disordered": Payload(count.disordered), "holes": Payload(count.holes),
            ]
        }
        return [
            "life": Payload(self.life),
            "answers": Payload(state.answers.map { Payload($0) }),
            "answerCount": Payload(state.answerCount),
            "missing": Payload(state.missing.map { [Payload($0.key), Payload($0.value)] }),
            "pending": Payload(state.pending),
            "longest": Payload(state.longest),
            "heard": Payload(heard),
            "told": Payload(state.told),
            "unanswered": Payload(state.unanswered.count),
        ]
    }
}
