import NIOCore

// Messages that belong to no stream.
extension DeliveryReceiver {
    /// A message that is sent once.
    ///
    /// - Returns: false when it comes late, or after a later one.
    mutating func takeOnce(_ stamp: Stamp, _ channel: String, _ time: Int64) -> Bool {
        guard let last = self.subscriptions[channel]?.once[stamp.incarnation, default: (0, 0)],
            let peer = self.peerIndices[stamp.incarnation], self.peers[peer].state == .live
        else { return false }
        self.peers[peer].clock.observe(uptime: stamp.uptime, at: time)
        guard let sent = self.peers[peer].clock.time(ofUptime: stamp.uptime), time - sent <= Self.onceWithin,
            sent <= time + Self.onceWithin
        else {
            self.peers[peer].ledger.late += 1
            return false
        }
        // Sent when all before it are late: then it is a later one, whatever the numbers say.
        guard stamp.number > last.number || stamp.uptime > last.uptime + Self.onceWithin / 1_000_000 else {
            self.peers[peer].ledger.repeats += 1
            return false
        }
        self.subscriptions[channel]?.once[stamp.incarnation] = (stamp.number, stamp.uptime)
        self.peers[peer].ledger.once += 1
        return true
    }

    mutating func forgetOnce() {
        for (channel, subscription) in self.subscriptions where !subscription.once.isEmpty {
            self.subscriptions[channel]?.once = subscription.once.filter { self.peerIndices[$0.key] != nil }
        }
    }
}
