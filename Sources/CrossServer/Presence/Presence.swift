import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Who is in the rooms that this server watches, and what it tells those who watch its own.
///
/// It lives on the transport's event loop.
final class Presence: Sendable {
    private static let tick = TimeAmount.seconds(1)
    /// All servers are asked again so often, which repairs what was missed.
    private static let askingInterval = TimeAmount.seconds(10)
    /// The same when some have not answered.
    private static let retryInterval = TimeAmount.seconds(2)
    private static let answerWithin = Duration.seconds(2)

    let transport: Transport
    let servers: Servers
    let requests: ServerRequests
    let clients: LocalClients
    let watches: NIOLoopBoundBox<PresenceWatches>

    init(_ transport: Transport, _ servers: Servers, _ requests: ServerRequests, _ clients: LocalClients) {
        self.transport = transport
        self.servers = servers
        self.requests = requests
        self.clients = clients
        self.watches = .makeBoxSendingValue(PresenceWatches(), eventLoop: transport.eventLoop)
        clients.onWatchedRoomsChange { [weak self] due in self?.tellWatchersSoon(due) }
    }

    // MARK: Watching

    /// Watches a room, and waits until every live server has answered or is missing. From any thread.
    ///
    /// - Throws: ``CrossServerError`` with `overloaded` or `stopping`; `CancellationError`.
    func presence(_ key: PresenceKey) async throws -> RoomPresence {
        let observer = try await self.transport.eventLoop.submit { try self.open(key) }.get()
        // Ends the watching if this throws.
        let presence = RoomPresence(key.topic.room, observer)
        if self.transport.bus != nil {
            do {
                // What changes while the servers answer has to be heard.
                try await self.transport.subscribed(
                    to: [self.transport.channels.channel(of: key.topic)],
                    within: Self.answerWithin
                )
            } catch let error as BusError {
                self.transport.logger.notice(
                    "the presence in a room is incomplete",
                    metadata: ["error": "\(LogText(error))"]
                )
            }
        }
        await withCheckedContinuation { continuation in
            self.transport.eventLoop.execute { self.settle(key, continuation) }
        }
        try Task.checkCancellation()
        guard !observer.hasEnded else { throw CrossServerError(.stopping, "the server stops") }
        return presence
    }

    private func open(_ key: PresenceKey) throws -> PresenceObserver {
        guard !self.watches.value.hasEnded else { throw CrossServerError(.stopping, "the server stops") }
        let isNew = self.watches.value.watches[key] == nil
        if isNew {
            guard self.watches.value.watches.count < PresenceWatches.maximum else {
                throw CrossServerError(.overloaded, "\(PresenceWatches.maximum) rooms are watched already")
            }
            let state = RoomPresenceState(isCountOnly: key.topic.isCountOnly, grace: key.grace)
            let number = self.watches.value.nextNumber()
            self.watches.value.watches[key] = PresenceWatch(number: number, state: SharedRoomPresence(state))
            let channel = self.transport.channels.channel(of: key.topic)
            if self.watches.value.keys[channel] == nil { self.transport.subscribe(to: [channel]) }
            self.watches.value.keys[channel, default: []].append(key)
            self.startTicking()
        }
        guard let watch = self.watches.value.watches[key] else {
            throw CrossServerError(.stopping, "the server stops")
        }
        let observer = PresenceObserver(watch.state) { [weak self] observer in
            self?.transport.eventLoop.execute { [weak self] in self?.close(key, ObjectIdentifier(observer)) }
        }
        self.watches.value.watches[key]?.observers[ObjectIdentifier(observer)] = observer
        return observer
    }

    private func settle(_ key: PresenceKey, _ continuation: CheckedContinuation<Void, Never>) {
        guard let watch = self.watches.value.watches[key], !watch.isSettled else { return continuation.resume() }
        self.watches.value.watches[key]?.waiters.append(continuation)
        if watch.asking == nil { self.askAll(key) }
    }

    private func close(_ key: PresenceKey, _ observer: ObjectIdentifier) {
        self.watches.value.watches[key]?.observers[observer] = nil
        guard let watch = self.watches.value.watches[key], watch.observers.isEmpty else { return }
        self.watches.value.watches[key] = nil
        for waiter in watch.waiters { waiter.resume() }
        let channel = self.transport.channels.channel(of: key.topic)
        self.watches.value.keys[channel]?.removeAll { $0 == key }
        guard self.watches.value.keys[channel]?.isEmpty == true else { return }
        self.watches.value.keys[channel] = nil
        self.transport.unsubscribe(from: [channel])
        let message = ClusterQuestion.UnwatchRoom(
            namespace: key.topic.room.namespace,
            room: key.topic.room.room,
            isCountOnly: key.topic.isCountOnly,
            number: self.watches.value.nextNumber()
        )
        self.clients.change { $0.watched.unwatch(key.topic, by: nil, number: message.number) }
        do {
            try self.transport.tell(message)
        } catch {
            self.transport.logger.debug(
                "other servers tell of a room for a while",
                metadata: ["error": "\(LogText(error))"]
            )
        }
    }

    /// Ends with the server.
    func end() {
        self.watches.value.hasEnded = true
        for watch in self.watches.value.watches.values {
            for observer in watch.observers.values { observer.cancel() }
        }
    }

    // MARK: Asking

    private func question(_ key: PresenceKey, known: [String: UInt64]) -> ClusterQuestion.WatchRoom {
        ClusterQuestion.WatchRoom(
            namespace: key.topic.room.namespace,
            room: key.topic.room.room,
            isCountOnly: key.topic.isCountOnly,
            number: self.watches.value.nextNumber(),
            known: known
        )
    }

    private func askAll(_ key: PresenceKey) {
        let names = self.servers.roster.withLock { $0.names }
        self.watches.value.watches[key]?.asking = PresenceWatch.Asking()
        self.ask(key, .all, names: names)
    }

    /// - Parameter names: of those who are asked, as far as they are known.
    private func ask(_ key: PresenceKey, _ target: CrossServerTarget, names: [String]) {
        guard let watch = self.watches.value.watches[key] else { return }
        let known = watch.state.value.withLock { state in
            state.asked(names)
            return state.known
        }
        let question = self.question(key, known: known)
        // This server needs no message to itself.
        if target == .all || names.contains(self.transport.name) { self.askThisServer(question, key) }
        let others = names.filter { $0 != self.transport.name }
        guard target == .all || !others.isEmpty else { return }
        let number = watch.number
        do {
            let request = ServerRequests.Request(
                event: ClusterQuestion.WatchRoom.name,
                payload: try Payload(encoding: question),
                target: target == .all ? .all : .servers(others),
                exceptSelf: true,
                timeout: Self.answerWithin,
                isSystem: true,
                concernsClients: true
            )
            let isAll = target == .all
            let sink = ReplySink.observer(self.transport.eventLoop) { [weak self] response in
                guard self?.watches.value.watches[key]?.number == number else { return }
                self?.heard(response, key, isAll: isAll)
            }
            _ = try self.requests.request(request, sink)
        } catch {
            let missing = MissingReply(server: others.count == 1 ? others.first : nil, reason: .notSent("\(error)"))
            self.heard(.missing(missing), key, isAll: target == .all)
            self.heard(nil, key, isAll: target == .all)
        }
    }

    private func askThisServer(_ question: ClusterQuestion.WatchRoom, _ key: PresenceKey) {
        guard !self.transport.configuration.cluster.isObserver else { return }
        if let answer = self.watch(question, by: nil) {
            self.answered(answer, by: self.transport.name, key)
        } else {
            let failure = MissingReply.Reason.failed(code: "TOO_MANY_ROOMS", message: "too many rooms are watched")
            self.change(key) { state, _ in state.failed(self.transport.name, failure) }
        }
    }

    private func answered(_ answer: ClusterQuestion.WatchRoom.Reply, by server: String, _ key: PresenceKey) {
        let isBehind = self.change(key) { state, now in state.answered(answer, by: server, now: now) }
        if isBehind == true { self.ask(key, .server(server), names: [server]) }
    }

    /// - Parameter response: nil at the end.
    private func heard(_ response: CrossServerResponse<Payload>?, _ key: PresenceKey, isAll: Bool) {
        switch response {
        case .reply(let server, let payload, _):
            if isAll { self.watches.value.watches[key]?.asking?.answered.insert(server) }
            do {
                self.answered(try payload.decode(ClusterQuestion.WatchRoom.Reply.self), by: server, key)
            } catch {
                self.change(key) { state, _ in state.failed(server, .invalidReply("\(error)")) }
            }
        case .missing(let missing):
            if isAll { self.watches.value.watches[key]?.asking?.hasFailed = true }
            if let server = missing.server {
                let isLive = self.isLive(server) || missing.reason == .unreachable
                self.change(key) { state, now in
                    if isLive { state.failed(server, missing.reason) } else { state.left(server, now: now) }
                }
            } else if isAll {
                self.watches.value.watches[key]?.asking?.unnamed.append(missing)
            }
        case nil:
            if isAll { self.allAnswered(key) }
        }
    }

    private func allAnswered(_ key: PresenceKey) {
        guard let watch = self.watches.value.watches[key], let asking = watch.asking else { return }
        let (names, originals) = self.servers.roster.withLock {
            ($0.names + $0.unreachable.map(\.name), $0.originalServerCount)
        }
        let cannotAnswer = MissingReply.Reason.notSent("a server of the original cannot answer")
        let unnamed =
            asking.unnamed + Array(repeating: MissingReply(server: nil, reason: cannotAnswer), count: originals)
        self.watches.value.watches[key]?.asking = nil
        self.watches.value.watches[key]?.nextAsking =
            .now() + (asking.hasFailed ? Self.retryInterval : Self.askingInterval)
        self.change(key) { state, now in
            state.answered(by: asking.answered.union(names).union([self.transport.name]), unnamed: unnamed, now: now)
        }
        guard !watch.isSettled else { return }
        // Those who have waited for it see it all.
        _ = watch.state.value.withLock { $0.takeChange() }
        self.watches.value.watches[key]?.isSettled = true
        self.watches.value.watches[key]?.waiters = []
        for waiter in watch.waiters { waiter.resume() }
    }

    // MARK: Changes

    /// A message of another server, on the bus's event loop.
    func received(_ event: CrossServerEvent, on channel: String) {
        guard event.event == ClusterQuestion.RoomChanges.name else {
            return self.transport.refused("no changes of a room", on: channel)
        }
        guard event.sender != self.transport.name else { return }
        do {
            let changes = try event.payload.decode(ClusterQuestion.RoomChanges.self)
            self.transport.eventLoop.execute { self.received(changes, from: event.sender, on: channel) }
        } catch {
            self.transport.refused("\(error)", on: channel)
        }
    }

    func received(_ changes: ClusterQuestion.RoomChanges, from server: String, on channel: String) {
        // One that has just said that it stops may still tell who goes with it.
        guard let keys = self.watches.value.keys[channel], self.isLive(server) else { return }
        for key in keys {
            let isBehind = self.change(key) { state, now in state.received(changes, from: server, now: now) }
            if isBehind == true { self.ask(key, .server(server), names: [server]) }
        }
    }

    private func isLive(_ server: String) -> Bool {
        server == self.transport.name || self.servers.roster.withLock { $0.members[server] != nil }
    }

    /// A server is in the cluster from now on.
    func askFor(_ server: String) {
        for (key, watch) in self.watches.value.watches where watch.isSettled || watch.asking != nil {
            self.ask(key, .server(server), names: [server])
        }
    }

    /// A link carries messages again, and may have lost some.
    func askSoon() {
        let now = NIODeadline.now()
        // Not for all rooms at once.
        let spread = Int64(self.watches.value.watches.count)
        for key in self.watches.value.watches.keys {
            let time = now + .milliseconds(.random(in: 0...spread))
            guard let next = self.watches.value.watches[key]?.nextAsking, time < next else { continue }
            self.watches.value.watches[key]?.nextAsking = time
        }
    }

    /// A server is not in the cluster any more.
    func left(_ server: String) {
        for key in Array(self.watches.value.watches.keys) {
            self.change(key) { state, now in state.left(server, now: now) }
        }
    }

    /// Changes what is known of a room, and tells those who watch it what that changes for them.
    @discardableResult
    private func change<Result: Sendable>(
        _ key: PresenceKey,
        _ body: (inout RoomPresenceState, NIODeadline) -> Result
    ) -> Result? {
        guard let watch = self.watches.value.watches[key] else { return nil }
        let now = NIODeadline.now()
        let (result, change, deadline) = watch.state.value.withLock { state in
            (body(&state, now), watch.isSettled ? state.takeChange() : nil, state.nextDeadline())
        }
        if let deadline, watch.wakesAt.map({ deadline < $0 }) ?? true { self.wake(key, watch.number, at: deadline) }
        if let change { for observer in watch.observers.values { observer.deliver(change) } }
        return result
    }

    // MARK: Time

    private func wake(_ key: PresenceKey, _ number: UInt64, at deadline: NIODeadline) {
        self.watches.value.watches[key]?.wakesAt = deadline
        self.transport.eventLoop.scheduleTask(deadline: deadline) { [weak self] in
            guard let self, self.watches.value.watches[key]?.number == number else { return }
            if self.watches.value.watches[key]?.wakesAt == deadline { self.watches.value.watches[key]?.wakesAt = nil }
            self.change(key) { state, now in state.tick(now: now) }
        }
    }

    /// A server that neither watches nor is watched has no timer.
    func startTicking() {
        guard !self.watches.value.isTicking else { return }
        self.watches.value.isTicking = true
        self.transport.eventLoop.scheduleTask(in: Self.tick) { [weak self] in self?.tick() }
    }

    private func tick() {
        self.watches.value.isTicking = false
        let now = NIODeadline.now()
        let isWatched = self.clients.change { registry in
            if !registry.watched.isEmpty { registry.watched.expire(now: now) }
            return !registry.watched.isEmpty
        }
        let due = self.watches.value.watches.filter { _, watch in
            watch.isSettled && watch.asking == nil && watch.nextAsking <= now
        }
        for key in due.keys { self.askAll(key) }
        if isWatched || !self.watches.value.watches.isEmpty { self.startTicking() }
    }
}
