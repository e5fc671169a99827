import CrossServerBus
import CrossServerWire
import Logging
import NIOCore

// What this server tells those who watch its rooms
extension Presence {
    /// How long a server is told of changes without asking again.
    static let watchLasts = TimeAmount.seconds(30)
    /// For which changes are collected.
    private static let changesDelay = TimeAmount.milliseconds(20)
    private static let countsDelay = TimeAmount.milliseconds(250)

    /// From any thread.
    func tellWatchersSoon(_ due: WatchedRooms.Due) {
        if due.changes {
            self.transport.eventLoop.scheduleTask(in: Self.changesDelay) { [weak self] in
                self?.tellWatchers { $0.takeChanges() }
            }
        }
        if due.counts {
            self.transport.eventLoop.scheduleTask(in: Self.countsDelay) { [weak self] in
                self?.tellWatchers { $0.takeCounts() }
            }
        }
    }

    /// On the event loop.
    private func tellWatchers(_ take: (inout Registry<ClientSocket>) -> sending [WatchedRooms.Report]) {
        for report in self.clients.change({ take(&$0) }) {
            let channel = self.transport.channels.channel(of: report.topic)
            let changes = ClusterQuestion.RoomChanges(
                incarnation: self.transport.incarnation,
                from: report.from,
                to: report.to,
                count: report.count,
                joined: report.joined,
                left: report.left
            )
            if report.isForThisServer { self.received(changes, from: self.transport.name, on: channel) }
            guard report.isForOthers else { continue }
            do {
                let payload = try Payload(encoding: changes)
                let event = CrossServerEvent(
                    event: type(of: changes).name,
                    sender: self.transport.name,
                    payload: payload
                )
                try self.transport.publish(event, to: channel, completion: nil)
            } catch {
                // Those who watch see by the next version, or when they ask again, that they have missed it.
                ClusterCounters.increment(self.transport.counters.messagesNotSent)
                self.transport.throttles.notSent.log(
                    self.transport.logger,
                    level: .notice,
                    "changes of a room not sent: \(error)"
                )
            }
        }
    }

    /// On the event loop.
    ///
    /// - Returns: nil when there is nothing to say.
    func answer(_ event: CrossServerEvent, _ reply: ServerReply?) throws -> Payload? {
        guard event.event == ClusterQuestion.WatchRoom.name else {
            let message = try event.payload.decode(ClusterQuestion.UnwatchRoom.self)
            self.clients.change { $0.watched.unwatch(message.topic, by: event.sender, number: message.number) }
            return nil
        }
        let question = try event.payload.decode(ClusterQuestion.WatchRoom.self)
        guard let answer = self.watch(question, by: event.sender) else {
            reply?.fail(RequestFailure(code: "TOO_MANY_ROOMS", message: "too many rooms are watched"))
            return nil
        }
        return try Payload(encoding: answer)
    }

    /// - Parameter server: nil for this one.
    /// - Returns: nil when too many rooms are watched.
    func watch(_ question: ClusterQuestion.WatchRoom, by server: String?) -> ClusterQuestion.WatchRoom.Reply? {
        self.startTicking()
        let until = NIODeadline.now() + Self.watchLasts
        return self.clients.change {
            $0.watch(question, by: server, incarnation: self.transport.incarnation, until: until)
        }
    }
}
