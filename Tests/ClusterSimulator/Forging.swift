import CrossServerBus
import NIOCore

// What somebody says who can publish on a Redis server and hears no inbox; or what a fault makes of messages.
extension Simulation {
    /// In the place of a message's number in the journal.
    static let forgedPid = UInt64.max

    func forge(_ fault: Fault, _ redis: SimulatedRedis, _ node: SimulatedNode) {
        guard redis.isUp, !redis.isHung else { return }
        self.journal.summary.forged += 1
        switch fault {
        case .strangers:
            for _ in 0..<40 {
                let channel = self.pick(
                    Scenario.appChannels + self.nodes.keys.sorted().compactMap { self.nodes[$0]?.inbox }
                )
                let number = self.chance(0.5) ? 1 : UInt64(self.random(1...1_000_000))
                redis.publish(.bytes(self.forged(self.random.next() | 1, number, uptime: 5_000)), to: channel ?? "")
            }
        case .candidates:
            for _ in 0..<80 {
                var heartbeat = Announcement(
                    .heartbeat,
                    name: self.chance(0.1) ? node.name : "x\(self.random(1...1_000))",
                    incarnation: String(self.random.next(), radix: 36),
                    number: UInt64(self.random(1...1_000_000)),
                    uptime: self.random(1...1_000_000)
                )
                heartbeat.interval = 60_000
                heartbeat.heard = [.init(name: "y\(self.random(1...1_000))", incarnation: "y")]
                redis.publish(.announcement(heartbeat), to: SimulatedNode.cluster)
            }
        case .jump: self.forgeJump(redis, node)
        case .forgedFrame: self.forgeFrame(redis, node)
        default: self.forgeAnnouncement(fault, redis, node)
        }
    }

    private func forged(
        _ incarnation: UInt64,
        _ number: UInt64,
        uptime: Int64,
        sincePrevious: UInt32 = Stamp.first
    ) -> ByteBuffer {
        var message = ByteBuffer()
        message.writeMultipleIntegers(UInt8(0x81), UInt8(0xa1), UInt8(ascii: "f"), UInt8(0xcf), Self.forgedPid)
        let stamp = Stamp(incarnation: incarnation, number: number, uptime: uptime, sincePrevious: sincePrevious)
        _ = stamp.append(to: &message)
        return message
    }

    private func uptime(_ node: SimulatedNode) -> Int64 { (self.now - node.bornAt) / 1_000 }

    /// True, in the past, in the future, or far in the future.
    private func someUptime(_ node: SimulatedNode) -> Int64 {
        let uptime = self.uptime(node)
        return self.pick([uptime, uptime / 2, uptime + 700, uptime + 30_000, 1 << 39]) ?? uptime
    }

    /// One message with a number far ahead in the name of a server.
    private func forgeJump(_ redis: SimulatedRedis, _ node: SimulatedNode) {
        let channel =
            self.pick(Scenario.appChannels + self.nodes.keys.sorted().compactMap { self.nodes[$0]?.inbox }) ?? ""
        let message = self.forged(
            node.incarnation,
            self.pick([1 << 20, 1 << 30, 1 << 39]) ?? 1,
            uptime: self.someUptime(node),
            sincePrevious: self.pick([Stamp.first, 0, 100, Stamp.longest, Stamp.once]) ?? 0
        )
        redis.publish(.bytes(message), to: channel)
    }

    /// Last numbers, repeats or the base of a stream, in the name of a server.
    private func forgeFrame(_ redis: SimulatedRedis, _ node: SimulatedNode) {
        let channel = self.pick(Scenario.appChannels) ?? ""
        let last = self.pick([1 << 20, 1 << 39]) ?? UInt64(1)
        let heads = DeliveryFrame.Heads(
            of: channel,
            last: last,
            uptime: self.someUptime(node),
            token: 1,
            isLeaving: self.chance(0.3)
        )
        let repetition = DeliveryFrame.Repetition(
            of: channel,
            token: self.random.next(),
            last: last,
            floor: self.chance(0.5) ? last : 0,
            base: self.chance(0.5) ? last : nil,
            gone: self.chance(0.5) ? last : 0
        )
        let body: DeliveryFrame.Body =
            self.pick([
                .heads(heads), .repetition(repetition), .acknowledge(token: 1),
                .request(channel: channel, missing: [1...last], token: 1),
            ]) ?? .heads(heads)
        for other in self.allNodes where other.isAlive && other !== node {
            let frame = DeliveryFrame(name: node.name, incarnation: node.incarnation, to: other.incarnation, body)
            redis.publish(.bytes(frame.encoded), to: other.inbox)
        }
    }

    /// A farewell, or a heartbeat with a number that the server has not come to.
    private func forgeAnnouncement(_ fault: Fault, _ redis: SimulatedRedis, _ node: SimulatedNode) {
        var announcement = Announcement(
            fault == .forgedLeft ? .left : .heartbeat,
            name: self.chance(0.2) ? "x" : node.name,
            incarnation: String(node.incarnation, radix: 36),
            number: UInt64(self.uptime(node) / 1_000 + self.random(0...20)) + (self.chance(0.3) ? 1 << 39 : 0),
            uptime: self.someUptime(node)
        )
        announcement.interval = 60_000
        announcement.secret = "guessed"
        announcement.role = self.chance(0.2) ? .observer : .server
        redis.publish(.announcement(announcement), to: SimulatedNode.cluster)
    }
}
