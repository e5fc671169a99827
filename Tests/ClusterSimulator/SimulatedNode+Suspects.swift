import CrossServerBus
import NIOCore

// What a server knows of the deaths of others.
extension SimulatedNode {
    /// Asks as if it waited for all others all the time.
    func askWhoHears() {
        guard self.simulation.now / 100_000 % 3 == 0 else { return }
        for member in self.membership.members(now: self.now) {
            let inbox = "csbp:node:\(member.name):\(member.incarnation)"
            for link in self.links where self.membership.isProved(link.link) {
                link.publisher?.send(.count(member.incarnation, inbox: inbox, askedAt: self.now))
            }
        }
    }

    func suspected(_ member: Member) {
        self.simulation.journal.summary.suspects += 1
        guard let other = self.life(member.incarnation), other.isAlive, !other.isPaused else { return }
        // What was counted may be as old as a proof.
        let hasLong = self.links.contains { link in
            self.membership.isProved(link.link) && link.redis.isUp && !link.redis.isHung
                && self.simulation.isConnected(other.name, link.redis) && link.redis.hearingTime(of: other) > 3_000_000
        }
        if hasLong { self.simulation.journal.contradict("\(self.name) suspects \(other.name), which hears well") }
    }

    func died(_ member: Member) {
        let holder = Holder(name: member.name, incarnation: member.incarnation)
        guard self.hearing.fellSilent(holder, now: self.now) else { return }
        self.isSureOfDeath(of: holder)
    }

    func hear() {
        let hears = self.simulation.knownRedis(self.name).contains { redis in
            redis.isUp && !redis.isHung && self.simulation.isConnected(self.name, redis)
        }
        self.noteHearing(hears)
        for holder in self.hearing.update(hears: !self.membership.linksProved.isEmpty, now: self.now) {
            self.isSureOfDeath(of: holder)
        }
    }

    private func isSureOfDeath(of holder: Holder) {
        self.simulation.journal.summary.deaths += 1
        // A proof lasts for 2.5 s, and what is late by less is not noticed.
        if self.hasBeenDeaf(for: 3_000_000, within: 3_300_000) {
            self.simulation.journal.contradict(
                "\(self.name) believes that \(holder.name) has died, and heard nobody itself"
            )
        }
    }

    private func life(_ incarnation: String) -> SimulatedNode? {
        self.simulation.allNodes.first { String($0.incarnation, radix: 36) == incarnation }
    }
}
