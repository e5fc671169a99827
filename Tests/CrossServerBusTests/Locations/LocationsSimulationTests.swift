import NIOCore
import Testing

@testable import CrossServerBus

@Suite(.timeLimit(.minutes(5))) struct LocationsSimulationTests {
    private typealias Options = LocationsSimulation.Options

    private func run(_ seed: UInt64, _ change: (inout Options) -> Void) -> LocationsSimulation {
        var options = Options()
        change(&options)
        var simulation = LocationsSimulation(seed: seed, options: options)
        simulation.run()
        #expect(simulation.disordered.isEmpty, "seed \(seed)")
        #expect(simulation.waitingCount == 0, "seed \(seed)")
        return simulation
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func clientsThatMoveMissNothingAndGetAllInOrder(seed: UInt64) {
        let simulation = self.run(seed) { _ in }
        #expect(simulation.missing(patience: 1_500).isEmpty, "seed \(seed)")
        #expect(simulation.sessions.values.joined().contains { !$0.delivered.isEmpty })
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func restlessClients(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.session = 1...60
            $0.gap = 0...20
            $0.pause = 0...10
            $0.duration = 3_000
        }
        #expect(simulation.lateCount == 0 || simulation.missing(patience: 1_500).isEmpty, "seed \(seed)")
    }

    /// Without a gap between their connections. Only what is under way while they move may be lost.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func clientsThatReplaceTheirConnections(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.replaces = true
            $0.session = 500...3_000
        }
        let missing = Set(simulation.missing(patience: 1_500))
        #expect(missing.count * 200 < simulation.sent.count, "seed \(seed)")
        let starts = simulation.sessions.mapValues { $0.map(\.start) }
        for (message, time) in simulation.sent where missing.contains(message) {
            let isMoving = starts[message.id]?.contains { (time - 150...time + 150).contains($0) } == true
            #expect(isMoving, "seed \(seed): \(message) at \(time)")
        }
        let copies = simulation.sessions.values.joined().flatMap(\.delivered)
        #expect((copies.count - Set(copies).count) * 200 < copies.count, "seed \(seed)")
    }

    /// As when a server of the original joins and leaves again and again.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func messagesThatMustGoToAllForAWhile(seed: UInt64) {
        let simulation = self.run(seed) { $0.toAll = 700 }
        #expect(simulation.missing(patience: 1_500).isEmpty, "seed \(seed)")
        #expect(simulation.inboxCount > 0)
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func serversThatDie(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.servers = 6
            $0.deaths = 3
            $0.session = 5...8_000
        }
        // One wait for refusals that do not come may follow another.
        #expect(simulation.missing(patience: 3_000).isEmpty, "seed \(seed)")
    }

    /// Redis says at once that nobody hears the inbox of a server that has died, which the others learn much later.
    @Test(arguments: 1...16 as ClosedRange<UInt64>)
    func serversThatDieAndAreNotHeard(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.servers = 6
            $0.deaths = 4
            $0.outcome = .unheard
            $0.leftAfter = 3_500
            $0.replaces = true
            $0.session = 4_000...12_000
        }
        #expect(simulation.lostInSilence.isEmpty, "seed \(seed)")
        #expect(simulation.unexplained(patience: 6_000).isEmpty, "seed \(seed)")
    }

    /// Nobody learns it for long. What was sent to them meanwhile may be lost, but for what is sent again.
    @Test(arguments: 1...16 as ClosedRange<UInt64>)
    func serversThatDieWithTheirMachine(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.servers = 6
            $0.deaths = 4
            $0.outcome = .none
            $0.leftAfter = 3_500
            $0.replaces = true
            $0.session = 6_000...12_000
        }
        #expect(simulation.unexplained(patience: 6_000).isEmpty, "seed \(seed)")
    }

    /// Servers that live, and whose inbox nobody hears for a while.
    @Test(arguments: 1...16 as ClosedRange<UInt64>)
    func serversThatAreDeafForAWhile(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.outcome = .unheard
            $0.deafness = 8
            $0.leftAfter = 3_500
        }
        #expect(simulation.missing(patience: 4_000).isEmpty, "seed \(seed)")
        #expect(!simulation.unheard.isEmpty)
    }

    /// For so long that the others believe in their death.
    @Test(arguments: 1...16 as ClosedRange<UInt64>)
    func serversThatAreDeafUntilTheyCountAsDead(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.outcome = .unheard
            $0.deafness = 6
            $0.deafTime = 500...8_000
            $0.leftAfter = 3_500
            $0.session = 5...10_000
        }
        #expect(simulation.missing(patience: 9_000).isEmpty, "seed \(seed)")
    }

    /// Little is remembered, and what is on the way takes longer than anybody waits.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func nothingOvertakesWhenLimitsAreReached(seed: UInt64) {
        _ = self.run(seed) {
            $0.limits.maximumHeldMessages = 4
            $0.limits.maximumHold = .milliseconds(20)
            $0.latency = 0...100
        }
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func nearlyAllMessagesForSettledClientsGoToOneServer(seed: UInt64) {
        let simulation = self.run(seed) {
            $0.servers = 8
            $0.session = 4_000...20_000
        }
        #expect(simulation.sharedCount * 10 < simulation.inboxCount, "seed \(seed)")
    }
}
