import CrossServerBus
import CrossServerRESP
import CrossServerWire
import Logging
import NIOCore
import Synchronization

// Keeps the connections. One task for each: a connection is made, used until it ends, and made again.
extension RedisLink {
    func keepConnected(_ role: RedisRole, _ receiver: any BusReceiver) async {
        var backoff = Backoff(self.configuration)
        var wasConnected = false
        while !Task.isCancelled {
            let failure: RedisFailure
            var lasted: Duration?
            // Made before the attempt, so that none is missed that succeeds meanwhile.
            var others = self.core.connections.stream()
            do throws(RedisFailure) {
                let connection = try await self.connect(role, receiver, isAgain: wasConnected)
                wasConnected = true
                self.core.connections.emit(self.busLink)
                let clock = ContinuousClock()
                let start = clock.now
                failure = await self.end(of: connection)
                lasted = clock.now - start
                others = self.core.connections.stream()
            } catch {
                failure = error
                if Task.isCancelled { return }
                self.connectFailed(role, failure)
            }
            let delay = backoff.delay(after: failure.kind, lasted: lasted, random: .random(in: 0...1))
            await self.pause(delay, until: backoff.isCutShort(after: failure.kind, lasted: lasted) ? others : nil)
        }
    }

    /// Waits, and no longer than until another connection was made: at once when it is the link's own, else after a moment
    /// that differs.
    private func pause(_ delay: Duration, until others: AsyncStream<BusLink>?) async {
        await withTaskGroup { group in
            group.addTask { await Self.sleep(delay) }
            if let others {
                group.addTask {
                    var first: BusLink?
                    for await link in others {
                        first = link
                        break
                    }
                    if first == self.busLink { return }
                    // Nil: the bus ends.
                    await Self.sleep(first == nil ? delay : Self.longestMoment * Double.random(in: 0...1))
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    private static let longestMoment = Duration.milliseconds(50)

    /// Shorter when the task is cancelled.
    private static func sleep(_ delay: Duration) async {
        try? await Task.sleep(for: delay)  // throws when it is cancelled
    }

    private func end(of connection: LinkConnection) async -> RedisFailure {
        await withTaskGroup { group in
            if let subscriber = connection.subscriber {
                group.addTask { await self.outlastSilences(of: subscriber, connection.silences) }
            }
            defer { group.cancelAll() }
            return await self.closed(connection)
        }
    }

    private func closed(_ connection: LinkConnection) async -> RedisFailure {
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

    /// A server that hangs and goes on again has messages for this connection that it would not keep for the next one. So it
    /// is given up only when the server answers on a new one and not on this one, or when it has been silent for very long.
    private func outlastSilences(of subscriber: NIOLoopBound<SubscriberHandler>, _ silences: AsyncStream<Void>) async {
        for await _ in silences {
            var backoff = Backoff(self.configuration)
            let clock = ContinuousClock()
            let end = clock.now + Self.longestSilence
            while clock.now < end, await self.isSilent(subscriber) {
                do throws(RedisFailure) {
                    try await self.checkServer()
                    await Self.sleep(Self.silenceBesideAnswers)
                    break
                } catch {
                    await Self.sleep(backoff.delay(after: error.kind, lasted: nil, random: .random(in: 0...1)))
                }
            }
            self.eventLoop.execute { subscriber.value.giveUpIfSilent() }
        }
    }

    private static let longestSilence = Duration.seconds(30)
    /// A server that goes on again answers on both connections within a moment.
    private static let silenceBesideAnswers = Duration.milliseconds(500)

    private func isSilent(_ subscriber: NIOLoopBound<SubscriberHandler>) async -> Bool {
        do {
            return try await self.eventLoop.submit { subscriber.value.isSilent }.get()
        } catch {
            return false  // the event loop has ended
        }
    }

    /// Any thread. No connection, or one that ended before it could be used.
    func connectFailed(_ role: RedisRole, _ failure: RedisFailure) {
        if failure.kind == .stopped { return }
        self.counters.failedAttempts.add(1)
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

    private func connect(
        _ role: RedisRole,
        _ receiver: any BusReceiver,
        isAgain: Bool
    ) async throws(RedisFailure) -> LinkConnection {
        let address = try await self.findServer()
        self.places.withLock { $0.addresses[role] = address }
        return try await self.dial(address) { channel, facts in
            self.learn(facts)
            if isAgain { self.counters.reconnects.add(1) }
            return try self.install(role, on: channel, receiver)
        }
    }

    /// Whether the server would take a connection.
    private func checkServer() async throws(RedisFailure) {
        try await self.dial(try await self.findServer()) { channel, _ in channel.closeNow() }
    }

    private func dial<Connection: Sendable>(
        _ address: RedisAddress,
        _ install: @escaping @Sendable (any Channel, RedisHandshake.Facts) throws -> Connection
    ) async throws(RedisFailure) -> Connection {
        var steps = try await self.authentication(self.node.credentials)
        if self.node.database != 0 { steps.append(.select(self.node.database)) }
        if let name = self.node.connectionName { steps.append(.setName(name)) }
        switch self.node.endpoint {
        case .server, .sentinel: steps.append(.requireMaster)
        case .cluster: steps.append(.clusterNodes)
        }
        steps.append(.ping)
        do throws(RedisFailure) {
            return try await self.dialer.dial(
                address,
                saying: RedisHandshake(steps: steps),
                within: TimeAmount(self.node.connectTimeout),
                install: install
            )
        } catch {
            self.failed(address)
            throw error
        }
    }

    private func learn(_ facts: RedisHandshake.Facts) {
        for warning in facts.warnings where self.isNews(warning) {
            self.logger.warning("refused, and done without", metadata: ["error": "\(LogText(warning))"])
        }
        if !facts.members.isEmpty { self.members.withLock { $0.learned(facts.members) } }
    }

    private func isNews(_ warning: String) -> Bool {
        self.places.withLock { places in
            places.warnings.count < Places.maximumWarnings && places.warnings.insert(warning).inserted
        }
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
