import CrossServerBus
import CrossServerWire
import NIOCore
import Synchronization

/// What takes the replies of one request. Replies come in order, the end comes last. Indirect, since it is copied often.
indirect enum ReplySink: Sendable {
    case collect(ReplyCollector)
    case stream(AsyncStream<CrossServerResponse<Payload>>.Continuation)
    case callback(any EventLoop, @Sendable (CrossServerResponse<Payload>) -> Void)
    /// Gets nil at the end.
    case observer(any EventLoop, @Sendable (CrossServerResponse<Payload>?) -> Void)

    func take(_ response: CrossServerResponse<Payload>) {
        switch self {
        case .collect(let collector): collector.take(response)
        case .stream(let continuation): continuation.yield(response)
        case .callback(let eventLoop, let body): eventLoop.execute { body(response) }
        case .observer(let eventLoop, let body): eventLoop.execute { body(response) }
        }
    }

    func end() {
        switch self {
        case .collect(let collector): collector.end()
        case .stream(let continuation): continuation.finish()
        case .callback: break
        case .observer(let eventLoop, let body): eventLoop.execute { body(nil) }
        }
    }
}

/// Collects the replies of one request for somebody who waits for all of them.
final class ReplyCollector: Sendable {
    private let state = Mutex(State())

    private struct State {
        var result = CrossServerReplies<Payload>()
        var isEnded = false
        var waiter: CheckedContinuation<CrossServerReplies<Payload>, Never>?
    }

    func take(_ response: CrossServerResponse<Payload>) {
        self.state.withLock { state in
            switch response {
            case .reply(let server, let payload, _): state.result.replies[server] = payload
            case .missing(let missing): state.result.missing.append(missing)
            }
        }
    }

    func end() {
        let (waiter, result) = self.state.withLock { state in
            state.isEnded = true
            defer { state.waiter = nil }
            return (state.waiter, state.result)
        }
        waiter?.resume(returning: result)
    }

    /// Waits for the end. Only one may wait.
    func result() async -> CrossServerReplies<Payload> {
        await withCheckedContinuation { continuation in
            let result: CrossServerReplies<Payload>? = self.state.withLock { state in
                if !state.isEnded { state.waiter = continuation }
                return state.isEnded ? state.result : nil
            }
            if let result { continuation.resume(returning: result) }
        }
    }
}
