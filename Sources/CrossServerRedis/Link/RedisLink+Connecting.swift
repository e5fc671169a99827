import CrossServerBus
import CrossServerRESP
import CrossServerWire
import Logging
import NIOCore
import Synchronization

// Keeps the connections. One task for each: a connection is made, used until it ends, and made again.
extension RedisLink {
    func keepConnected(_ role: RedisRole, _ receiver: any BusReceiver) async {
        var backoff = Backoff(
            initial: self.configuration.reconnectInitialDelay,
            maximum: self.configuration.reconnectMaximumDelay,
            authentication: self.configuration.authenticationRetryDelay
        )
        var wasConnected = false
        while !Task.isCancelled {
            let failure: RedisFailure
            var lasted: Duration?
            do throws(RedisFailure) {
                let connection = try await self.connect(role, receiver)
                if wasConnected { self.counters.reconnects.add(1) }
                wasConnected = true
                let clock = ContinuousClock()
                let start = clock.now
                failure = await self.end(of: connection)
                lasted = clock.now - start
            } catch {
                failure = error
                if Task.isCancelled { return }
                self.connectFailed(role, failure)
            }
            let delay = backoff.delay(after: failure.kind, lasted: lasted, random: .random(in: 0...1))
            do { try await Task.sleep(for: delay) } catch { return }  // cancelled
        }
    }

    private func end(of connection: LinkConnection) async -> RedisFailure {
        await withTaskCancellationHandler {
            do {
                let failure = try await connection.end.get()
                // Nothing is left open when the bus has ended.
                try await connection.channel.closeFuture.get()
                return failure
            } catch {
                return RedisFailure(.lost, "\(error)")
            }
        } onCancel: {
            self.eventLoop.execute { connection.close(RedisFailure(.stopped, "the link has ended")) }
        }
    }

    /// Any thread. No connection, or one that ended before it could be used.
    func connectFailed(_ role: RedisRole, _ failure: RedisFailure) {
        if failure.kind == .stopped { return }
        if failure.kind == .protocolViolation { self.counters.dropped.add(1) }
        let isNews = self.places.withLock { places in
            defer { places.failures[role] = failure }
            return places.failures[role] != failure
        }
        guard isNews else { return }
        self.log("cannot connect", role, failure)
        self.eventLoop.execute { self.core.changed(self, role, .connectFailed, failure) }
    }

    func log(_ message: Logger.Message, _ role: RedisRole, _ failure: RedisFailure) {
        self.logger.warning(message, metadata: ["connection": "\(role)", "error": "\(failure.message)"])
    }

    private func connect(_ role: RedisRole, _ receiver: any BusReceiver) async throws(RedisFailure) -> LinkConnection {
        let address = try await self.findServer()
        self.places.withLock { $0.addresses[role] = address }
        var steps = try await self.authentication(self.node.credentials)
        if self.node.database != 0 { steps.append(.select(self.node.database)) }
        if let name = self.node.connectionName { steps.append(.setName(name)) }
        switch self.node.endpoint {
        case .server: break
        case .sentinel: steps.append(.requireMaster)
        case .cluster: steps.append(.clusterNodes)
        }
        steps.append(.ping)
        do throws(RedisFailure) {
            return try await self.dialer.dial(
                address,
                saying: RedisHandshake(steps: steps),
                within: TimeAmount(self.node.connectTimeout)
            ) { channel, facts in
                self.learn(facts, role)
                return try self.install(role, on: channel, receiver)
            }
        } catch {
            self.failed(address)
            throw error
        }
    }

    private func learn(_ facts: RedisHandshake.Facts, _ role: RedisRole) {
        for warning in facts.warnings {
            self.logger.warning("refused, and done without", metadata: ["error": "\(LogText(warning))"])
        }
        if !facts.members.isEmpty { self.members.withLock { $0.learned(facts.members) } }
    }

    func authentication(
        _ credentials: (@Sendable () async throws -> RedisCredentials)?
    ) async throws(RedisFailure) -> [RedisHandshake.Step] {
        guard let credentials else { return [] }
        do {
            let shown = try await withDeadline(self.node.connectTimeout, credentials)
            return [.authenticate(user: shown.user, password: shown.password)]
        } catch {
            throw RedisFailure(.authentication, "the credentials could not be got: \(error)")
        }
    }
}

/// Cancels the operation and waits for it no longer than it takes to notice.
private func withDeadline<Result: Sendable>(
    _ limit: Duration,
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup { group in
        group.addTask { try await operation() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw RedisFailure(.timedOut, "they did not come within \(limit)")
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw CancellationError() }
        return result
    }
}
