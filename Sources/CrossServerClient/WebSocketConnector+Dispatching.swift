import CrossServerWebSocket
import CrossServerWire
import Logging
import Synchronization

extension WebSocketConnector {
    /// Runs the listeners of what happens, until the connector has finished.
    func dispatchOccurrences() async {
        while let occurrence = await self.queue.next(onHalfEmpty: { self.onCore { $0.resumeReading() } }) {
            await self.dispatch(occurrence)
        }
    }

    private func dispatch(_ occurrence: ClientOccurrence) async {
        switch occurrence {
        case .open: await self.run(\.open, (), name: "open")
        case .close(let close, let connection):
            await HandledConnection.$number.withValue(connection) { await self.run(\.close, close, name: "close") }
        case .error(let error, let connection):
            await HandledConnection.$number.withValue(connection) { await self.run(\.error, error, name: "error") }
        case .ping: await self.run(\.ping, (), name: "ping")
        case .pong(let roundTrip): await self.run(\.pong, roundTrip, name: "pong")
        case .pongTimeout: await self.run(\.pongTimeout, (), name: "pong-timeout")
        case .repeatLimit(let limit): await self.run(\.repeatLimit, limit, name: "repeat-limit")
        case .reconnect(let attempt, let delay):
            await self.run(\.reconnect, (attempt: attempt, delay: delay), name: "reconnect")
        case .message(let message, let event):
            if let event { await self.dispatch(event) }
            await self.run(\.message, message, name: "message")
        }
    }

    private func dispatch(_ event: ServerEvent) async {
        let list = self.listenerTable.withLock { $0.list(of: event.name) }
        guard let id = event.requestId else {
            await self.run(list, (event.payload, nil), name: event.name)
            return
        }
        let request = ServerRequest(id, connection: event.connection, connector: self)
        let reply = Reply(request)
        if list.isEmpty {
            return reply.fail(RequestFailure(code: "UNKNOWN_EVENT", message: "no listener of this event"))
        }
        let failure = await self.run(list, (event.payload, reply), name: event.name, isRequest: true)
        if let failure {
            reply.fail(failure)
        } else if !request.isKeptOpen.load(ordering: .relaxed) {
            reply(.absent)
        }
    }

    private func run<Arguments: Sendable>(
        _ event: KeyPath<ClientSystemListeners, ListenerList<Arguments>>,
        _ arguments: Arguments,
        name: String
    ) async {
        await self.run(self.listenerTable.withLock { $0.system[keyPath: event] }, arguments, name: name)
    }

    /// - Returns: what a server that has asked is told of the first error.
    @discardableResult
    private func run<Arguments: Sendable>(
        _ list: ListenerList<Arguments>,
        _ arguments: Arguments,
        name: String,
        isRequest: Bool = false
    ) async -> RequestFailure? {
        var failure: RequestFailure?
        for listener in list.listeners where listener.claim() {
            if listener.isOnce { self.listenerTable.withLock { $0.removeSpent() } }
            do {
                switch listener.body {
                case .plain(let body): try body(arguments)
                case .asynchronous(let body): try await body(arguments)
                }
            } catch let error as UndecodablePayload {
                failure = failure ?? .invalidPayload("the payload of \(name) is not as expected: \(error.reason)")
                self.logUndecodable(error, event: name)
            } catch let error as RequestFailure where isRequest {
                failure = failure ?? error
            } catch {
                failure = failure ?? .internalError
                self.logger.error(
                    "handler failed",
                    metadata: ["event": "\(LogText(name))", "error": "\(LogText(error))"]
                )
            }
        }
        return failure
    }

    /// Only the server is to blame, which must not be able to fill the log: the 1st, 2nd, 4th, 8th … are logged.
    private func logUndecodable(_ error: UndecodablePayload, event: String) {
        let count = self.undecodable.wrappingAdd(1, ordering: .relaxed).newValue
        guard count & (count - 1) == 0 else { return }
        self.logger.warning(
            "payload dropped: it does not have the shape of its event",
            metadata: ["event": "\(LogText(event))", "error": "\(LogText(error.reason))", "count": "\(count)"]
        )
    }
}

/// A payload did not decode as the type that its listener wants.
struct UndecodablePayload: Error {
    let reason: any Error
}
