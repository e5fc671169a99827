import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

/// What the links of a bus share.
final class BusCore: Sendable {
    struct Entry: Sendable {
        var link: RedisLink
        var status: BusLinkStatus
    }

    enum Phase: Sendable {
        case idle
        case running(any BusReceiver, AsyncStream<RedisLink>.Continuation)
        case ended
    }

    struct Table: Sendable {
        var phase = Phase.idle
        var entries: [Entry] = []
        var wanted: Set<String> = []
        var lastNumber = 0

        /// For reports.
        func serverName(_ configured: String) -> String {
            guard configured.isEmpty, case .running(let receiver, _) = self.phase else { return configured }
            return receiver.serverName
        }

        func healthyCount(_ role: RedisRole) -> Int {
            switch role {
            case .publisher: self.entries.count { $0.status.canPublish }
            case .subscriber: self.entries.count { $0.status.canReceive }
            }
        }
    }

    let configuration: RedisBus.Configuration
    let logger: Logger
    let counters = Counters()
    let table = Mutex(Table())
    /// Taken for every publish, and so apart from the rest. Taken within the table's lock, never the other way round.
    let selection: Mutex<LinkSelection<RedisLink>>
    let health = Reports<RedisHealthReport>(maximumWaiting: 1_000)
    let subscriptionErrors = Reports<RedisSubscriptionError>(maximumWaiting: 1_000)
    /// Tells those that wait for a link.
    let changes = Reports<Void>(maximumWaiting: 1)
    /// Tells of connections that were made.
    let connections = Reports<BusLink>(maximumWaiting: 1)

    init(configuration: RedisBus.Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        let selection = LinkSelection<RedisLink>(strategy: configuration.strategy, seed: .random(in: 0...UInt64.max))
        self.selection = Mutex(selection)
    }

    /// Whether a link can be published on and is heard.
    func isUsable(_ link: RedisLink) -> Bool {
        self.table.withLock { table in
            table.entries.contains { $0.link === link && $0.status.canPublish && $0.status.canReceive }
        }
    }

    /// On the event loop of the link.
    func changed(_ link: RedisLink, _ role: RedisRole, _ event: RedisHealthReport.Event, _ failure: RedisFailure?) {
        let isHealthy = event == .ready
        let place = link.place(of: role)
        let (report, status, receiver) = self.table.withLock { table in
            let index = table.entries.firstIndex { $0.link === link }
            var status = BusLinkStatus(link: link.busLink, name: link.name, canPublish: false, canReceive: false)
            if let index {
                switch role {
                case .publisher: table.entries[index].status.canPublish = isHealthy
                case .subscriber: table.entries[index].status.canReceive = isHealthy
                }
                table.entries[index].status.problem = link.problem
                status = table.entries[index].status
            }
            self.selection.withLock { selection in
                if status.canPublish, status.canReceive {
                    selection.insert(link, number: link.busLink.number)
                } else {
                    selection.remove(number: link.busLink.number)
                }
            }
            let report = RedisHealthReport(
                link: link.busLink,
                host: place.host,
                port: place.port,
                serverName: table.serverName(self.configuration.serverName),
                event: event,
                isHealthy: isHealthy,
                error: failure?.message,
                healthySubscriberCount: table.healthyCount(.subscriber),
                healthyPublisherCount: table.healthyCount(.publisher),
                totalNodeCount: table.entries.count,
                type: role
            )
            var receiver: (any BusReceiver)?
            if case .running(let running, _) = table.phase { receiver = running }
            return (report, status, receiver)
        }
        receiver?.linkChanged(status)
        self.health.emit(report)
        self.changes.emit(())
    }

    /// On the event loop of the link.
    func stalled(_ link: RedisLink) {
        self.receiver?.linkStalled(link.busLink)
    }

    /// On the event loop of the link.
    func publishFailed(_ link: RedisLink, _ number: UInt64) {
        (self.receiver as? any NumberingBusReceiver)?.publishFailed(number, over: link.busLink)
    }

    private var receiver: (any BusReceiver)? {
        self.table.withLock { table in
            if case .running(let running, _) = table.phase { running } else { nil }
        }
    }

    /// On the event loop of the link.
    func messageTooLong(_ link: RedisLink, _ channel: String) {
        let problem = "a message of more than \(self.configuration.maximumMessageSize) bytes"
        (self.receiver as? any NumberingBusReceiver)?.refused(problem, on: channel)
    }

    func problemChanged(_ link: RedisLink) {
        let problem = link.problem
        self.table.withLock { table in
            guard let index = table.entries.firstIndex(where: { $0.link === link }) else { return }
            table.entries[index].status.problem = problem
        }
    }

    /// Why no link is usable, to be put behind what cannot be done then.
    var problems: String {
        let statuses = self.table.withLock { $0.entries.map(\.status) }.filter { $0.problem != nil }
        return statuses.isEmpty ? "" : ": " + statuses.map(\.description).joined(separator: "; ")
    }

    func measured(_ link: RedisLink, _ latency: Duration) {
        self.selection.withLock { $0.measured(latency, number: link.busLink.number) }
    }

    func subscriptionFailed(
        _ link: RedisLink,
        _ channel: String,
        _ event: RedisSubscriptionError.Event,
        _ message: String
    ) {
        let place = link.place(of: .subscriber)
        let serverName = self.table.withLock { $0.serverName(self.configuration.serverName) }
        let message = LogText(message).description
        link.logger.warning(
            "\(event.rawValue) refused",
            metadata: ["channel": "\(LogText(channel))", "error": "\(message)"]
        )
        self.subscriptionErrors.emit(
            RedisSubscriptionError(
                link: link.busLink,
                host: place.host,
                port: place.port,
                serverName: serverName,
                channel: channel,
                event: event,
                error: message
            )
        )
    }

    /// Lets go of the links, which hold this object.
    func end() {
        self.table.withLock { table in
            table.phase = .ended
            table.entries = []
            self.selection.withLock { selection in
                for link in selection.links { selection.remove(number: link.busLink.number) }
            }
        }
        self.health.finish()
        self.subscriptionErrors.finish()
        self.changes.finish()
        self.connections.finish()
    }
}
