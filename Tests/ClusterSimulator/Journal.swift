import CrossServerBus
import NIOCore

/// What was sent, and what has become of it.
final class Journal {
    struct Stream: Hashable {
        var sender: UInt64
        var channel: String
    }

    struct Sent {
        var number: UInt64
        var time: Int64
        var pid: Int
    }

    struct Received {
        var number: UInt64
        var pid: Int
        var time: Int64
    }

    /// By the order of their numbers.
    var streams: [Stream: [Sent]] = [:]
    var received: [UInt64: [Stream: [Received]]] = [:]
    /// How many messages each server has given on, by sender.
    var given: [UInt64: [UInt64: Int]] = [:]
    /// Sent once: when, by sender and number.
    private var once: [UInt64: [UInt64: Int64]] = [:]
    /// The last of those that each server has given on, by stream.
    private var lastOnce: [UInt64: [Stream: UInt64]] = [:]
    var gaps: [UInt64: [Stream: [DeliveryGap]]] = [:]
    /// When the user sent each message.
    var messages: [Int64] = []
    var refused: Set<Int> = []
    /// While they waited a newer one with the same key took their place.
    var replaced: Set<Int> = []
    var contradictions: [String] = []
    var frames = 0
    var published = 0
    var summary = Summary()

    func makeMessage(_ time: Int64) -> Int {
        self.messages.append(time)
        return self.messages.count - 1
    }

    func sent(_ pid: Int, _ number: UInt64, by node: SimulatedNode, on channel: String) {
        let stream = Stream(sender: node.incarnation, channel: channel)
        self.streams[stream, default: []].append(Sent(number: number, time: node.simulation.now, pid: pid))
    }

    func refused(_ pid: Int) { self.refused.insert(pid) }
    func replaced(_ pid: Int) { self.replaced.insert(pid) }

    func contradict(_ text: String) {
        if self.contradictions.count < 20 { self.contradictions.append(text) }
    }

    func delivered(_ message: ByteBuffer, on channel: String, to node: SimulatedNode) {
        guard let stamp = Stamp(endOf: message) else {
            self.summary.unnumbered += 1
            return
        }
        guard let pid = message.getInteger(at: message.readerIndex + 4, as: UInt64.self) else {
            return self.contradict("a message is damaged")
        }
        if pid == Simulation.forgedPid { return self.deliveredForged(stamp, on: channel, to: node) }
        if stamp.isOnce { return self.deliveredOnce(stamp, on: channel, to: node) }
        self.given[node.incarnation, default: [:]][stamp.incarnation, default: 0] += 1
        self.received[node.incarnation, default: [:]][
            Stream(sender: stamp.incarnation, channel: channel),
            default: []
        ].append(Received(number: stamp.number, pid: Int(pid), time: node.simulation.now))
    }

    /// What anyone may write cannot be told from what the sender writes; but a position that it claims can, while somebody is
    /// there to be asked.
    private func deliveredForged(_ stamp: Stamp, on channel: String, to node: SimulatedNode) {
        guard !stamp.isOnce else { return }
        self.given[node.incarnation, default: [:]][stamp.incarnation, default: 0] += 1
        guard node.simulation.allNodes.contains(where: { $0.incarnation == stamp.incarnation && $0.isAlive }) else {
            return
        }
        self.contradict("\(stamp.number) is forged, and believed by \(node.name) on \(channel)")
    }

    func sentOnce(_ message: ByteBuffer, by node: SimulatedNode) {
        guard let stamp = Stamp(endOf: message) else { return self.contradict("a message has no stamp") }
        self.once[node.incarnation, default: [:]][stamp.number] = node.simulation.now
    }

    private func deliveredOnce(_ stamp: Stamp, on channel: String, to node: SimulatedNode) {
        let stream = Stream(sender: stamp.incarnation, channel: channel)
        let place = "\(stamp.number) to \(node.name) on \(channel)"
        self.summary.once += 1
        if node.channels[channel] == nil { self.contradict("once, and not subscribed: \(place)") }
        if stamp.number <= self.lastOnce[node.incarnation]?[stream] ?? 0 {
            self.contradict("once, and twice or out of order: \(place)")
        }
        self.lastOnce[node.incarnation, default: [:]][stream] = stamp.number
        guard let time = self.once[stamp.incarnation]?[stamp.number] else {
            return self.contradict("once, and never sent: \(place)")
        }
        // The receiver knows the sender's clock to a second at worst.
        if node.simulation.now - time > 2_200_000 { self.contradict("once, and late: \(place)") }
    }

    func gap(_ gap: DeliveryGap, of node: SimulatedNode) {
        let stream = Stream(sender: gap.incarnation, channel: gap.channel ?? "")
        self.gaps[node.incarnation, default: [:]][stream, default: []].append(gap)
    }

    /// Who subscribes anew begins anew.
    func unsubscribed(_ incarnation: UInt64, _ channel: String) {
        for stream in (self.lastOnce[incarnation] ?? [:]).keys where stream.channel == channel {
            self.lastOnce[incarnation]?[stream] = nil
        }
        for stream in (self.received[incarnation] ?? [:]).keys where stream.channel == channel {
            self.received[incarnation]?[stream] = nil
        }
        for stream in (self.gaps[incarnation] ?? [:]).keys where stream.channel == channel {
            self.gaps[incarnation]?[stream] = nil
        }
    }
}

// The rules.
extension Simulation {
    func check() -> [String] {
        let journal = self.journal
        journal.summary.frames = journal.frames
        journal.summary.published = journal.published
        journal.summary.sent = journal.streams.values.reduce(0) { $0 + $1.count }
        journal.summary.refused = journal.refused.count
        journal.summary.replaced = journal.replaced.count
        for node in self.allNodes {
            self.checkOrder(node)
            guard node.isAlive else { continue }
            self.checkNothingIsMissing(node)
            self.checkEnd(node)
        }
        return journal.contradictions
    }

    private func name(_ incarnation: UInt64) -> String {
        let node = self.allNodes.first { $0.incarnation == incarnation }
        return "\(node?.name ?? "?")/\(node.map { "\($0.bornAt / 1_000)" } ?? "?")"
    }

    /// Who has not left must not be taken for gone.
    func checkFarewell(_ incarnation: UInt64, _ reason: MembershipAction.LeaveReason, seenBy node: SimulatedNode) {
        guard reason == .stopped, let other = self.allNodes.first(where: { $0.incarnation == incarnation }),
            other.acknowledgedBy == nil, other.refusedBy == nil
        else { return }
        self.journal.contradict("\(node.name) believes that \(other.name) has left")
    }

    private func checkOrder(_ node: SimulatedNode) {
        for (stream, received) in self.journal.received[node.incarnation] ?? [:] {
            var last: UInt64 = 0
            for item in received {
                let place = "\(self.name(stream.sender)) to \(self.name(node.incarnation)) on \(stream.channel)"
                let time = "\(item.number) at \(item.time / 1_000)"
                if item.number == last { self.journal.contradict("twice: \(place) \(time)") }
                if item.number < last { self.journal.contradict("out of order: \(place) \(time) after \(last)") }
                last = max(last, item.number)
                if self.journal.refused.contains(item.pid) || self.journal.replaced.contains(item.pid) {
                    self.journal.contradict("refused or replaced, and delivered: \(place) \(time)")
                }
                if let channel = node.channels[stream.channel],
                    self.journal.messages[item.pid] < channel.requestedAt - 1_100_000, item.time >= channel.requestedAt,
                    self.journal.streams[stream]?.first(where: { $0.pid == item.pid })
                        .map({ $0.time < channel.requestedAt - 1_100_000 }) ?? true
                {
                    self.journal.contradict("sent before the subscription: \(place) \(time)")
                }
            }
        }
    }

    private func checkNothingIsMissing(_ node: SimulatedNode) {
        for (stream, sent) in self.journal.streams where stream.sender != node.incarnation {
            guard let since = node.channels[stream.channel]?.inForceAt,
                let sender = self.allNodes.first(where: { $0.incarnation == stream.sender })
            else { continue }
            let received = self.journal.received[node.incarnation]?[stream] ?? []
            let numbers = Set(received.map(\.number))
            let gaps = self.journal.gaps[node.incarnation]?[stream] ?? []
            let mayMissAnything = self.journal.gaps[node.incarnation]?[.init(sender: stream.sender, channel: "")] != nil
            let top = received.last?.number ?? 0
            for item in sent where item.time > since + 1_000 {
                self.journal.summary.owed += 1
                let isGap = gaps.contains { ($0.first ?? 0) <= item.number && item.number <= $0.last }
                let isCertain = gaps.contains { ($0.first ?? .max) <= item.number && item.number <= $0.last }
                let place = "\(self.name(stream.sender)) to \(self.name(node.incarnation)) on \(stream.channel) "
                let text = place + "\(item.number) sent at \(item.time / 1_000), subscribed \(since / 1_000)"
                if numbers.contains(item.number) {
                    self.journal.summary.delivered += 1
                    if isCertain { self.journal.contradict("reported as a gap and delivered: \(text)") }
                } else if isGap || mayMissAnything {
                    self.journal.summary.gaps += 1
                } else if sender.isAlive {
                    self.journal.contradict("missing: \(text)")
                } else if item.number < top {
                    self.journal.contradict("missing in the middle of a dead server's: \(text)")
                } else if sender.acknowledgedBy?.contains(node.incarnation) == true {
                    self.journal.contradict("missing though acknowledged: \(text)")
                } else {
                    self.journal.summary.unpromised += 1
                }
            }
        }
    }

    /// Whether what the one has counted fits to what the other has sent.
    private func checkLedger(_ node: SimulatedNode, _ other: SimulatedNode, _ ledger: ReceiverLedger) {
        let place = "\(self.name(other.incarnation)) to \(self.name(node.incarnation)): \(ledger)"
        if ledger.owed != ledger.delivered + ledger.repaired + ledger.missing + ledger.pending || ledger.pending != 0 {
            self.journal.contradict("the ledger does not add up: \(place)")
        }
        // Of a life that was forgotten meanwhile it begins anew; and who forgets streams passes over numbers.
        guard !self.scenario.isForgetful else { return }
        let given = self.journal.given[node.incarnation]?[other.incarnation] ?? 0
        if ledger.delivered + ledger.repaired != given {
            self.journal.contradict("the ledger does not count \(given) messages: \(place)")
        }
        var all = 0
        var certain = 0
        for (stream, sent) in self.journal.streams where stream.sender == other.incarnation {
            guard node.everSubscribed.contains(stream.channel) else { continue }
            all += sent.count
            guard let since = node.channels[stream.channel]?.inForceAt else { continue }
            certain += sent.count { $0.time > since + 1_000 }
        }
        if ledger.owed > all || (ledger.owed < certain && ledger.unknownGaps == 0) {
            self.journal.contradict("the ledger does not owe \(certain) to \(all) messages: \(place)")
        }
        let inbox = self.journal.streams[.init(sender: other.incarnation, channel: node.inbox)]?.count ?? 0
        let counted = other.sender.sent(toInboxOf: node.name, node.incarnation)
        if counted != inbox { self.journal.contradict("\(inbox), not \(counted) were sent to the inbox: \(place)") }
    }

    private func checkEnd(_ node: SimulatedNode) {
        let name = self.name(node.incarnation)
        let others = self.allNodes.filter { $0.isAlive && $0 !== node }
        if others.contains(where: { $0.name == node.name }) { self.journal.contradict("two lives of \(name)") }
        let expected = Set(others.map { String($0.incarnation, radix: 36) })
        let seen = Set(node.membership.members(now: node.now).map(\.incarnation))
        if seen != expected { self.journal.contradict("\(name) sees \(seen), not \(expected)") }
        if node.membership.linksReachingAll.count != self.knownRedis(node.name).count {
            self.journal.contradict("\(name) reaches all over \(node.membership.linksReachingAll) only")
        }
        let unreachable = node.membership.unreachable(now: node.now)
        if !unreachable.isEmpty { self.journal.contradict("\(name) does not reach \(unreachable)") }
        for member in node.membership.members(now: node.now) where member.isSuspect {
            self.journal.contradict("\(name) suspects \(member.name)")
        }
        if !node.hearing.undecided.isEmpty { self.journal.contradict("\(name) waits for \(node.hearing.undecided)") }
        if node.sender.queueBytes > 0 { self.journal.contradict("\(name) has messages waiting") }
        for other in others {
            guard let ledger = node.receiver.ledger(of: other.incarnation) else { continue }
            self.journal.summary.repeats += ledger.repeats
            self.journal.summary.requests += ledger.requests
            self.checkLedger(node, other, ledger)
            if node.receiver.missesSome(of: other.incarnation) {
                self.journal.contradict("\(name) still waits for messages of \(self.name(other.incarnation))")
            }
        }
    }
}
