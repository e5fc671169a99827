import CrossServerBus
import CrossServerWire
import Logging
import NIOCore
import Synchronization

// Servers of the original, which say nothing of themselves
extension Servers {
    /// - Parameter originals: nil when the link cannot say.
    func counted(_ originals: Int?, on link: BusLink) {
        let links = self.transport.bus?.links.filter(\.canPublish) ?? []
        let heard = self.roster.withLock { roster in
            roster.originals[link] = .some(originals)
            return Reach.links(of: roster.originals, among: links.map(\.link))
        }
        let former = self.transport.linkOfOriginals.exchange(heard?.first?.number ?? -1, ordering: .relaxed)
        guard former < 0, let heard, !heard.isEmpty else { return }
        let missing = links.filter { !heard.contains($0.link) }.map(\.name)
        self.transport.throttles.originals.log(
            self.transport.logger,
            level: .notice,
            "servers of the Node.js library are missing on a link: what concerns them takes another one",
            metadata: ["missing": "\(missing.joined(separator: ", "))"]
        )
    }

    /// Looks whether a message that seems to be this server's own, or for others, comes from a server of the original with
    /// its name. Once a second: it costs as much as the message itself.
    func lookForNamesake(_ message: ByteBuffer) {
        // What this server sends has a number and does not come here. Without numbers it comes back as if from another.
        guard self.transport.courier != nil, Stamp(endOf: message) == nil else { return }
        let now = NIODeadline.now()
        guard now >= self.namesakeCheck.value else { return }
        self.namesakeCheck.value = now + .seconds(1)
        // A message that cannot be read names nobody.
        guard let decoded = try? BusMessage(decoding: message), decoded.senderOfOriginal == self.transport.name else {
            return
        }
        self.namesakeCheck.value = now + .minutes(1)
        self.transport.logger.warning("a server of the Node.js library has this server's name: neither hears the other")
    }
}

extension BusMessage {
    /// Nil for a reply: those of ours to servers of the original have no number either.
    fileprivate var senderOfOriginal: String? {
        switch self {
        case .event(let event): event.sender
        case .clients(let message): message.sender
        case .reply: nil
        }
    }
}
