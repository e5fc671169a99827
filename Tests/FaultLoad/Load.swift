import CrossServer
import NIOCore
import Synchronization

/// The ways in which a message may go from one server to another.
enum Kind: String, CaseIterable, Sendable {
    /// To all servers.
    case all
    /// To the inbox of one.
    case server
    /// To a room with a client of the other server.
    case room
    /// To that client.
    case client
}

/// Sends numbered messages at a rate. One that is refused takes no number.
final class Load: Sendable {
    struct Sent: Sendable {
        var accepted = 0
        var refused = 0
    }

    private struct State: Sendable {
        var sent: [Kind: Sent] = [:]
        var isRunning = false
    }

    private let adapter: WebSocketCrossServerAdapter
    private let state = Mutex(State())

    init(_ adapter: WebSocketCrossServerAdapter) {
        self.adapter = adapter
    }

    func sent(_ kind: Kind) -> Sent { self.state.withLock { $0.sent[kind] ?? Sent() } }
    var isRunning: Bool { self.state.withLock { $0.isRunning } }

    func start(rate: Int, seconds: Double, bytes: Int) {
        self.state.withLock { $0.isRunning = true }
        let filling = String(repeating: "x", count: bytes)
        Task {
            let start = NIODeadline.now()
            let all = Int(Double(rate) * seconds)
            var done = 0
            while done < all {
                let elapsed = Double((NIODeadline.now() - start).nanoseconds) / 1e9
                while done < min(all, Int(elapsed * Double(rate))) {
                    self.send(Self.kind(done), filling)
                    done += 1
                }
                try await Task.sleep(for: .milliseconds(1))
            }
            self.state.withLock { $0.isRunning = false }
        }
    }

    private static func kind(_ number: Int) -> Kind {
        switch number % 16 {
        case 13: .server
        case 14: .room
        case 15: .client
        default: .all
        }
    }

    private func send(_ kind: Kind, _ filling: String) {
        let number = self.sent(kind).accepted
        let stamp = LoadStamp(number: number, sentAt: .now())
        let payload = stamp.payload(filling)
        let isAccepted: Bool
        do {
            switch kind {
            case .all: try self.adapter.emitCrossServer(kind.rawValue, payload, exceptSelf: true)
            case .server: try self.adapter.emitCrossServer(kind.rawValue, payload, to: .server("receive"))
            case .room: try self.adapter.broadcastToRoom(Command.room, in: Command.namespace, kind.rawValue, payload)
            case .client: try self.adapter.toSocketId(Command.client, kind.rawValue, payload)
            }
            isAccepted = true
        } catch {
            isAccepted = false
        }
        self.state.withLock { state in
            if isAccepted {
                state.sent[kind, default: Sent()].accepted += 1
            } else {
                state.sent[kind, default: Sent()].refused += 1
            }
        }
    }
}
