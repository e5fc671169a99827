import CrossServerWebSocket
import NIOCore

// The end of a connection, which its handlers may outlive
extension ClientConnection {
    /// The connection has ended: its handlers are told, and its place is free. They go on while the server stops, which
    /// waits for them.
    func connectionEnded(_ close: WebSocketClose) {
        self.shared.connections.connectionEnded(self.socket.admission)
        if !self.owner.isStopping {
            self.handlersCancelledAt = self.socket.loop.eventLoop.now
            for task in self.work.connectionEnded() { task.cancel() }
        }
        self.enqueue(.closed(close))
    }

    func runCloseListeners(_ close: WebSocketClose, besideQueue: Bool) {
        self.hasRunCloseListeners = true
        let list = self.shared.listeners { $0.system.close }
        self.closeTask = self.run(
            list,
            (self.socket, self.socket.request, close.code, close.reason),
            HandlerContext.Origin(event: "close", stage: .closing),
            besideQueue: besideQueue
        )
    }

    /// A handler that does not heed its cancellation does not keep the client's id and rooms.
    func checkLingering(now: NIODeadline) {
        guard let cancelledAt = self.handlersCancelledAt,
            now - cancelledAt >= TimeAmount(self.shared.configuration.limits.handlerEndTimeout),
            let close = self.work.takeClosed()
        else { return }
        self.runCloseListeners(close, besideQueue: true)
        self.handlersEnded()
    }

    /// Lets go of what is not needed any more once the connection has ended: of the id and the rooms when the listeners
    /// of `close` have run, of the rest when no handler runs any more.
    func handlersEnded() {
        guard self.hasRunCloseListeners, self.closeTask.map(self.work.isRunning) != true else { return }
        if !self.hasLeft {
            self.hasLeft = true
            self.owner.release(self.socket)
        }
        guard self.work.isDone, self.socket.connection != nil else { return }
        self.socket.loop.connections.remove(self)
        self.socket.connection = nil
        self.shared.connections.handlersEnded()
    }

    /// Closes the connection before any of its messages was handled.
    func reject(_ rejection: ConnectionRejection) {
        self.work.refuseMessages()
        self.close(rejection.code, reason: rejection.reason)
    }

    /// Stops waiting for handlers: they are cancelled, and nothing that is queued runs any more.
    func cancelHandlers() {
        for task in self.work.cancel() { task.cancel() }
    }
}
