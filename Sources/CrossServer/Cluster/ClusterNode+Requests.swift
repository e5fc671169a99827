import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

extension ClusterNode {
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
                self.isLocal = !exceptSelf && names.contains(name)
                let others = names.filter { $0 != name }
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
    }

    private static let tick = TimeAmount.milliseconds(10)
    /// The failure with which an observer answers what all are asked.
    static let observerCode = "OBSERVER"

    /// Sends an event that nobody answers.
    ///
    /// - Returns: whether it goes over the bus, whose outcome `completion` gets.
    @discardableResult
    func emit(
        _ event: String,
        _ payload: Payload,
        to target: CrossServerTarget,
        exceptSelf: Bool,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws -> Bool {
        try self.validate(event)
        let route = Route(target, exceptSelf: exceptSelf, name: self.name)
        var isPublished = false
        if let others = route.others, self.bus != nil || !others.isEmpty {
            let message = CrossServerEvent(event: event, sender: self.name, payload: payload, targets: others)
            try self.publish(.event(message), to: self.channels.bridge, completion: completion)
            isPublished = true
        }
        if route.isLocal { self.handleLocally(event, payload, requestNumber: nil) }
        return isPublished
    }

    /// Sends a request, whose replies go to the sink.
    ///
    /// - Throws: when nothing was sent to anyone; the sink hears nothing then.
    func request(_ request: Request, _ sink: ReplySink) throws -> UInt64 {
        try self.validate(request.event)
        let route = Route(request.target, exceptSelf: request.exceptSelf, name: self.name)
        let number = try self.open(request, route, sink)
        if let others = route.others, self.bus != nil || !others.isEmpty {
            do {
                try self.publish(request, to: others, number: number)
            } catch {
                guard route.isLocal else {
                    self.cancel(number)
                    throw error
                }
                self.perform { $0.notPublished(number, reason: .notSent("\(error)")) }
            }
        } else {
            self.perform { $0.published(number, receivers: 0) }
        }
        if route.isLocal { self.handleLocally(request.event, request.payload, requestNumber: number) }
        return number
    }

    private func open(_ request: Request, _ route: Route, _ sink: ReplySink) throws -> UInt64 {
        var targets: [String]?
        if case .servers(let names) = request.target {
            targets = names.filter { $0 != self.name || route.isLocal }
        }
        return try self.requests.withLock { requests in
            guard !requests.isEnded else { throw CrossServerError(.stopping, "the server stops") }
            guard requests.table.count < self.configuration.cluster.maximumOutstandingRequests else {
                throw CrossServerError(.overloaded, "too many requests wait for replies of other servers")
            }
            if !requests.isTicking {
                requests.isTicking = true
                self.eventLoop.scheduleTask(in: Self.tick) { self.expire() }
            }
            let awaited = targets == nil && route.others != nil ? self.roster.withLock { $0.names } : []
            return requests.table.open(
                sink,
                targets: targets,
                awaited: awaited,
                expected: request.expected,
                local: route.isLocal ? self.name : nil,
                deadline: .now() + TimeAmount(request.timeout)
            )
        }
    }

    private func publish(_ request: Request, to others: [String], number: UInt64) throws {
        let message = CrossServerEvent(
            event: request.event,
            sender: self.name,
            payload: request.payload,
            targets: others,
            callbackID: RequestID.string(incarnation: self.incarnation, number: number)
        )
        try self.publish(.event(message), to: self.channels.bridge) { result in
            switch result {
            case .success(let publication):
                self.published(number, publication)
            case .failure(let error):
                let reason: MissingReply.Reason =
                    error.code == .outcomeUnknown ? .outcomeUnknown(error.message) : .notSent("\(error)")
                self.perform { $0.notPublished(number, reason: reason) }
            }
        }
    }

    private func published(_ number: UInt64, _ publication: Publication) {
        let others = self.otherReceivers(of: publication)
        self.perform { table in
            if others == 0 {
                table.notPublished(number, reason: .notSent("no other server hears it"))
            } else {
                table.published(number, receivers: others)
            }
        }
    }

    /// How many other servers heard a message; nil when the link does not know.
    func otherReceivers(of publication: Publication) -> Int? {
        publication.receivers.map { max($0 - (self.bus?.hears(publication.link) == true ? 1 : 0), 0) }
    }

    /// A server has gone that requests may wait for.
    func endRequests(to server: String, _ reason: MissingReply.Reason) {
        self.requests.withLock { requests in
            for action in requests.table.gone(server, reason: reason) { Self.perform(action) }
        }
    }

    func cancel(_ number: UInt64) {
        self.requests.withLock { requests in
            requests.table.cancel(number)?.end()
        }
    }

    /// A server has answered a request of this one.
    func answered(_ number: UInt64, by server: String, _ payload: Payload, error: Payload?) {
        if let error, error["code"]?.string == Self.observerCode {
            return self.perform { $0.declined(number, by: server) }
        }
        let result = self.requests.withLock { requests in
            let result = requests.table.reply(number, from: server)
            if case .success(let action) = result { Self.perform(action, payload: payload, error: error) }
            return result.map { _ in }
        }
        if case .failure = result { ClusterCounters.increment(self.counters.repliesIgnored) }
    }

    private func perform(_ body: (inout RequestTable<ReplySink>) -> RequestTable<ReplySink>.Action?) {
        self.requests.withLock { requests in
            if let action = body(&requests.table) { Self.perform(action) }
        }
    }

    /// Under the lock, so that a sink takes everything in order; it only ever queues.
    static func perform(_ action: RequestTable<ReplySink>.Action, payload: Payload = .absent, error: Payload? = nil) {
        if let reply = action.reply {
            if let error {
                let code = error["code"]?.string ?? "UNKNOWN"
                let message = error["message"]?.string ?? ""
                let failure = MissingReply.Reason.failed(code: code, message: message)
                action.sink.take(.missing(MissingReply(server: reply.server, reason: failure)))
            } else {
                action.sink.take(.reply(server: reply.server, payload, remaining: reply.remaining))
            }
        }
        if let end = action.end {
            for missing in end.missing { action.sink.take(.missing(missing)) }
            action.sink.end()
        }
    }

    private func expire() {
        self.requests.withLock { requests in
            for action in requests.table.expire(now: .now()) { Self.perform(action) }
            requests.isTicking = requests.table.count > 0
            if requests.isTicking { self.eventLoop.scheduleTask(in: Self.tick) { self.expire() } }
        }
    }

    /// Sends the answer to a request.
    func reply(to requester: ServerReply.Requester, _ payload: Payload, failure: RequestFailure?) {
        let error = failure.map { ["code": Payload($0.code), "message": Payload($0.message)] as Payload }
        switch requester {
        case .local(let number):
            self.answered(number, by: self.name, payload, error: error)
        case .remote(let server, let callbackID, let link):
            let reply = CrossServerReply(sender: self.name, callbackID: callbackID, payload: payload, error: error)
            // A server of ours has a channel of its own; an original one hears the bridge alone.
            let channel =
                RequestID(callbackID).map { self.channels.inbox(of: server, incarnation: $0.incarnation) }
                ?? self.channels.bridge
            do {
                try self.publish(.reply(reply), to: channel, over: link, completion: nil)
            } catch let problem as BusMessageError where failure == nil {
                self.throttles.notSent.log(self.logger, level: .error, "\(problem)")
                let failure = RequestFailure(code: "INVALID_REPLY", message: "the reply cannot be sent")
                self.reply(to: requester, ["error": Payload(failure.message)], failure: failure)
            } catch {
                ClusterCounters.increment(self.counters.messagesNotSent)
                self.throttles.notSent.log(self.logger, level: .notice, "reply not sent: \(error)")
            }
        }
    }

    /// - Throws: ``CrossServerError`` with `busUnavailable`, or ``BusMessageError`` when the payload cannot be written.
    func publish(
        _ message: BusMessage,
        to channel: String,
        over link: BusLink? = nil,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws {
        guard let bus = self.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
        var buffer = ByteBuffer()
        try message.write(into: &buffer, as: self.configuration.cluster.encoding)
        try self.publish(buffer, on: bus, to: channel, over: link, completion: completion)
    }

    func publish(
        _ buffer: ByteBuffer,
        on bus: any Bus,
        to channel: String,
        over link: BusLink? = nil,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(CrossServerError) {
        do throws(BusError) {
            try bus.publish(buffer, to: channel, over: link, completion: completion)
        } catch {
            switch error.code {
            case .tooManyBytesInFlight: throw CrossServerError(.overloaded, error.message)
            case .messageTooLarge: throw CrossServerError(.messageTooLarge, error.message)
            default: throw CrossServerError(.busUnavailable, error.message)
            }
        }
        ClusterCounters.increment(self.counters.eventsSent)
    }

    private func validate(_ event: String) throws(CrossServerError) {
        let limit = self.configuration.limits.maximumNameLength
        guard 1...limit ~= event.utf8.count else {
            throw CrossServerError(.invalidName, "an event's name has 1 to \(limit) bytes")
        }
    }
}
