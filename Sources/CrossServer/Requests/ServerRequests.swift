import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// Sends events to servers, this one among them, and keeps those that wait for replies.
final class ServerRequests: Sendable {
    /// Where an event goes.
    struct Route {
        /// Whether this server handles it too.
        var isLocal: Bool
        /// The other servers: empty for all of them, nil for none.
        var others: [String]?

        init(_ target: CrossServerTarget, exceptSelf: Bool, name: String) {
            switch target {
            case .all:
                self.isLocal = !exceptSelf
                self.others = []
            case .servers(let names):
                let hasSelf = names.contains(name)
                self.isLocal = !exceptSelf && hasSelf
                let others = hasSelf ? names.filter { $0 != name } : names
                self.others = others.isEmpty ? nil : others
            }
        }
    }

    /// What a request asks of whom.
    struct Request {
        var event: String
        var payload: Payload
        var target: CrossServerTarget
        var exceptSelf: Bool
        var expected: Int?
        var timeout: Duration
        /// Whether it is one of our own questions, and no event of the application.
        var isSystem = false
        /// Whether only servers to which clients may be connected are to answer.
        var concernsClients = false
    }

    /// One of the messages in which an event goes out.
    private struct Posting {
        var channel: String
        /// Who is meant by it; empty for everyone.
        var servers: [String]
        /// Of the server whose inbox the channel is.
        var incarnation: UInt64?
        /// Whether it names whom it is for. What servers say to each other in an inbox does not.
        var namesTargets = true

        var targets: [String] { self.namesTargets ? self.servers : [] }

        /// The one whose inbox it is.
        var lives: [Holder] {
            self.incarnation.map { life in self.servers.map { Holder(name: $0, incarnation: String(life, radix: 36)) } }
                ?? []
        }
    }

    /// Those that wait for replies.
    struct Pending: Sendable {
        var table = RequestTable<ReplySink>()
        var isTicking = false
        var isEnded = false
        var watch = OverdueReplies()
    }

    static let tick = TimeAmount.milliseconds(10)

    let transport: Transport
    let servers: Servers
    let events: ServerEvents
    let pending = Mutex(Pending())

    init(_ transport: Transport, _ servers: Servers, _ events: ServerEvents) {
        self.transport = transport
        self.servers = servers
        self.events = events
    }

    /// What has become of an event that nobody answers.
    struct Emission {
        /// Whether it goes over the bus. Then the completion gets how many other servers heard it.
        var isPublished: Bool
        /// Servers that it is for, and that do not get it.
        var unreached: [UnreachedServer]
    }

    /// Sends an event that nobody answers.
    ///
    /// - Throws: when nothing was sent to anyone, nor handled here; the completion hears nothing then. Also
    ///   ``CrossServerError`` with `unreachable` when it reaches nobody therefore.
    @discardableResult
    func emit(
        _ event: String,
        _ payload: Payload,
        to target: CrossServerTarget,
        exceptSelf: Bool,
        delivery: WebSocketCrossServerAdapter.Configuration.Delivery = .ordered,
        completion: (@Sendable (Result<Int?, any Error>) -> Void)?
    ) throws -> Emission {
        try self.transport.configuration.limits.checkName(event, "event's name")
        try self.transport.check(delivery)
        // Most often one server is meant, and known: without the lists of those that are not.
        if completion == nil, case .servers(let names) = target, names.count == 1, names[0] != self.transport.name,
            self.transport.unreachableCount.load(ordering: .relaxed) == 0, let inbox = self.servers.inbox(of: names[0])
        {
            let message = CrossServerEvent(event: event, sender: self.transport.name, payload: payload, targets: names)
            try self.transport.publish(
                message,
                to: inbox.channel,
                audience: inbox.incarnation,
                delivery: self.transport.delivery(delivery, for: names[0]),
                completion: nil
            )
            return Emission(isPublished: true, unreached: [])
        }
        let route = Route(target, exceptSelf: exceptSelf, name: self.transport.name)
        let unreachable = self.unreachable(of: route.others)
        let postings = self.postings(to: route.others, except: unreachable, isSystem: false)
        if postings.isEmpty, !route.isLocal, !unreachable.isEmpty {
            throw CrossServerError.unreachable(unreachable.joined(separator: ", "))
        }
        let sum = completion.map { PublicationSum(postings.count, $0) }
        var failures: [(posting: Posting, error: any Error)] = []
        if route.isLocal { try self.events.reservePlace(for: payload) }
        var isPublished = false
        defer { if route.isLocal, !isPublished { self.events.giveUpPlace(for: payload) } }
        for posting in postings {
            let message = CrossServerEvent(
                event: event,
                sender: self.transport.name,
                payload: payload,
                targets: posting.targets
            )
            do {
                try self.publish(message, posting, delivery, sum)
            } catch {
                failures.append((posting, error))
            }
        }
        if let failure = failures.first, failures.count == postings.count { throw failure.error }
        isPublished = true
        if route.isLocal { self.events.handleLocally(event, payload, nil) }
        let unreached = unreachable.map { UnreachedServer(server: $0, error: .unreachable($0)) }
        return Emission(isPublished: !postings.isEmpty, unreached: unreached + self.unreached(failures, sum))
    }

    private func publish(
        _ message: CrossServerEvent,
        _ posting: Posting,
        _ delivery: WebSocketCrossServerAdapter.Configuration.Delivery,
        _ sum: PublicationSum?
    ) throws {
        var completion: Courier.Completion?
        // Nobody pays for an outcome that is not asked for.
        if let sum {
            completion = { [weak self] result, _ in
                sum.add(result.map { self?.otherReceivers(of: $0, on: posting.channel) }.mapError { $0 })
            }
        }
        try self.transport.publish(
            message,
            to: posting.channel,
            audience: posting.incarnation,
            delivery: self.transport.delivery(delivery, for: posting.targets.joined(separator: "\u{0}")),
            completion: completion
        )
    }

    /// The servers of those messages that were not sent, when others were.
    private func unreached(
        _ failures: [(posting: Posting, error: any Error)],
        _ sum: PublicationSum?
    ) -> [UnreachedServer] {
        failures.flatMap { posting, error in
            sum?.add(.failure(error))
            ClusterCounters.increment(self.transport.counters.messagesNotSent)
            self.transport.throttles.notSent.log(
                self.transport.logger,
                level: .warning,
                "not sent: an event that other servers get",
                metadata: [
                    "servers": "\(LogText(posting.servers.joined(separator: ", ")))", "error": "\(LogText(error))",
                ]
            )
            let reason = error as? CrossServerError ?? CrossServerError(.busUnavailable, "\(error)")
            return posting.servers.map { UnreachedServer(server: $0, error: reason) }
        }
    }

    /// Those of the servers that cannot be reached; of all, when `others` is empty.
    private func unreachable(of others: [String]?) -> [String] {
        guard let others, self.transport.unreachableCount.load(ordering: .relaxed) > 0 else { return [] }
        let names = self.servers.roster.withLock { $0.unreachable.map(\.name) }
        return others.isEmpty ? names : names.filter(others.contains)
    }

    /// A server that is known hears what is for it alone on a channel of its own; others hear all.
    private func postings(to others: [String]?, except unreachable: [String], isSystem: Bool) -> [Posting] {
        guard let others, !others.isEmpty || self.transport.bus != nil else { return [] }
        let channel = isSystem ? self.transport.channels.cluster : self.transport.channels.bridge
        if others.isEmpty { return [Posting(channel: channel, servers: [])] }
        var unknown: [String] = []
        var postings: [Posting] = []
        let isSimple = others.count == 1 && unreachable.isEmpty
        for name in isSimple ? others : Self.distinct(others, except: unreachable) {
            guard let inbox = self.servers.inbox(of: name) else {
                unknown.append(name)
                continue
            }
            postings.append(
                Posting(
                    channel: inbox.channel,
                    servers: isSimple ? others : [name],
                    incarnation: inbox.incarnation,
                    namesTargets: !isSystem
                )
            )
        }
        if !unknown.isEmpty { postings.append(Posting(channel: channel, servers: unknown)) }
        return postings
    }

    private static func distinct(_ names: [String], except others: [String]) -> [String] {
        var seen = Set(others)
        return names.filter { seen.insert($0).inserted }
    }

    /// Sends a request, whose replies go to the sink.
    ///
    /// - Throws: when nothing was sent to anyone; the sink hears nothing then.
    func request(_ request: Request, _ sink: ReplySink) throws -> UInt64 {
        try self.transport.configuration.limits.checkName(request.event, "event's name")
        let route = Route(request.target, exceptSelf: request.exceptSelf, name: self.transport.name)
        let unreachable = self.unreachable(of: route.others)
        let postings = self.postings(to: route.others, except: unreachable, isSystem: request.isSystem)
        if route.isLocal { try self.events.reservePlace(for: request.payload) }
        let number: UInt64
        do {
            number = try self.open(request, route, unreachable, sink)
        } catch {
            if route.isLocal { self.events.giveUpPlace(for: request.payload) }
            throw error
        }
        if postings.isEmpty { self.perform { $0.published(number, receivers: 0) } }
        var failure: (any Error)?
        var isSent = route.isLocal || postings.isEmpty
        for posting in postings {
            do {
                try self.publish(request, posting, number: number)
                isSent = true
            } catch {
                failure = error
                self.notPublished(number, posting, .notSent("\(error)"))
            }
        }
        if let failure, !isSent {
            self.cancel(number)
            throw failure
        }
        if route.isLocal {
            self.events.handleLocally(
                request.event,
                request.payload,
                ServerReply(self, .local(number)),
                isSystem: request.isSystem
            )
        }
        return number
    }

    /// Sends a request and waits for its replies.
    func collect(_ request: Request) async throws -> CrossServerReplies<Payload> {
        try Task.checkCancellation()
        let collector = ReplyCollector()
        let number = try self.request(request, .collect(collector))
        let result = await withTaskCancellationHandler {
            await collector.result()
        } onCancel: {
            self.cancel(number)
        }
        try Task.checkCancellation()
        return result
    }

    private func open(
        _ request: Request,
        _ route: Route,
        _ unreachable: [String],
        _ sink: ReplySink
    ) throws -> UInt64 {
        var targets: [String]?
        if case .servers(let names) = request.target {
            targets = names.filter { $0 != self.transport.name || route.isLocal }
        }
        return try self.pending.withLock { pending in
            guard !pending.isEnded else { throw CrossServerError(.stopping, "the server stops") }
            guard pending.table.count < self.transport.configuration.cluster.maximumOutstandingRequests else {
                throw CrossServerError(.overloaded, "too many requests wait for replies of other servers")
            }
            if !pending.isTicking {
                pending.isTicking = true
                self.transport.eventLoop.scheduleTask(in: Self.tick) { self.expire() }
            }
            let awaited = targets == nil && route.others != nil ? self.names(asked: request) : []
            return pending.table.open(
                sink,
                targets: targets,
                awaited: awaited,
                unreachable: unreachable,
                expected: request.expected,
                local: route.isLocal ? self.transport.name : nil,
                deadline: .now() + TimeAmount(request.timeout)
            )
        }
    }

    private func names(asked request: Request) -> [String] {
        self.servers.roster.withLock { roster in
            guard request.concernsClients else { return roster.names }
            return roster.names.filter { roster.members[$0]?.takesClients ?? true }
        }
    }

    private func publish(_ request: Request, _ posting: Posting, number: UInt64) throws {
        let message = CrossServerEvent(
            event: request.event,
            sender: self.transport.name,
            payload: request.payload,
            targets: posting.targets,
            callbackID: RequestID.string(incarnation: self.transport.incarnation, number: number)
        )
        let isSystem = request.isSystem
        try self.transport.publish(message, to: posting.channel, audience: posting.incarnation) { result, _ in
            self.published(number, posting, isSystem: isSystem, result)
        }
    }

    private func published(
        _ number: UInt64,
        _ posting: Posting,
        isSystem: Bool,
        _ result: Result<Publication, BusError>
    ) {
        switch result {
        case .success(let publication):
            let others = self.otherReceivers(of: publication, on: posting.channel)
            if others == 0, posting.incarnation != nil, self.transport.courier != nil {
                // A server that lives asks for what it has not heard. Whether it lives shows soon.
                self.transport.eventLoop.execute { self.servers.countInboxes(of: posting.lives, .now()) }
                let now = NIODeadline.now()
                guard !self.isLive(posting), self.servers.hearing.withLock({ $0.isGood(now: now) }) else { return }
                self.notPublished(number, posting, .died)
            } else if others == 0, !isSystem || !posting.servers.isEmpty || !self.isAlone {
                self.notPublished(number, posting, .notSent("no other server hears it"))
            } else if posting.servers.isEmpty {
                // Observers hear a question too; who is to answer it is known.
                self.perform { $0.published(number, receivers: isSystem ? 0 : others) }
            }
        case .failure(let error):
            let reason: MissingReply.Reason =
                switch error.code {
                case .outcomeUnknown: .outcomeUnknown(error.message)
                case .unreachable: .unreachable
                default: .notSent("\(error)")
                }
            self.notPublished(number, posting, reason)
        }
    }

    private func isLive(_ posting: Posting) -> Bool {
        self.servers.roster.withLock { roster in
            posting.lives.allSatisfy { roster.members[$0.name]?.incarnation == $0.incarnation }
        }
    }

    private func notPublished(_ number: UInt64, _ posting: Posting, _ reason: MissingReply.Reason) {
        if posting.servers.isEmpty { self.perform { $0.notPublished(number, reason: reason) } }
        for server in posting.servers { self.perform { $0.gone(number, server, reason: reason) } }
    }

    /// Whether this server knows of no other of ours, so that a question to all is complete without them.
    private var isAlone: Bool { self.servers.roster.withLock { $0.names.isEmpty } }

    /// How many other servers heard a message; nil when the link does not know.
    private func otherReceivers(of publication: Publication, on channel: String) -> Int? {
        let isHeardHere = channel == self.transport.channels.bridge || channel == self.transport.channels.cluster
        let own = isHeardHere && self.transport.bus?.hears(publication.link) == true ? 1 : 0
        return publication.receivers.map { max($0 - own, 0) }
    }
}
