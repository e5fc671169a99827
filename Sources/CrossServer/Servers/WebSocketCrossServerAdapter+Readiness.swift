import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

extension WebSocketCrossServerAdapter {
    /// Whether the server can do its work now: it listens, if it has an address to listen at; it does not stop; and every
    /// channel that it wants is heard over a link, for example a Redis node, that carries messages end to end.
    ///
    /// It is found out ten times a second; a link that was lost in silence is noticed after 2.5 s.
    public var readiness: Readiness {
        let (phase, isQuiescing, address) = self.lifecycle.withLock { ($0.phase, $0.isQuiescing, $0.address) }
        var readiness = Readiness()
        switch phase {
        case .created, .stopped: readiness.problems = [.notRunning]
        case .stopping: readiness.problems = [.stopping]
        case .running where isQuiescing: readiness.problems = [.stopping]
        case .running:
            if self.listenAddress != nil, address == nil { readiness.problems = [.notListening] }
            readiness.problems += self.cluster.servers.problems(now: .now())
        }
        readiness.unreachableServers = self.cluster.servers.roster.withLock { $0.unreachable.map(\.name) }
        return readiness
    }

    /// Runs the closure when the readiness has changed, on an event loop: it must not block.
    public func onReadinessChange(_ handler: @escaping @Sendable (Readiness) -> Void) {
        self.readinessReports.add(handler)
    }

    /// What becomes of the readiness from now on. Ends with this server. When 100 wait, the oldest is dropped.
    public var readinessChanges: AsyncStream<Readiness> { self.readinessReports.stream() }

    /// Tells of changes until the task is cancelled.
    func watchReadiness() -> RepeatedTask {
        self.transport.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(100)) { [weak self] _ in
            self?.reportReadiness()
        }
    }

    /// Tells for the last time how the server is, and what it has counted.
    func reportEnd() async {
        do {
            try await self.transport.eventLoop.submit {
                self.recordMetrics()
                self.reportReadiness()
            }.get()
        } catch {
            self.logger.debug("the event loop has ended", metadata: ["error": "\(LogText(error))"])
        }
    }

    /// On the transport's event loop.
    func reportReadiness() {
        let readiness = self.readiness
        let isNews = self.lastReadiness.withLock { last in
            defer { last = readiness }
            return last != readiness
        }
        guard isNews else { return }
        self.logger.info(readiness.isReady ? "ready" : "not ready", metadata: readiness.metadata)
        self.readinessReports.emit(readiness)
    }
}
