import ClusterSimulator
import Dispatch
import Testing

/// The delivery rules under random faults. `Scripts/simulate` runs any number of seeds.
@Suite struct SimulatorTests {
    /// On a thread of its own: it computes for seconds, and the few threads that all tests share are needed by those
    /// with timers.
    private func computing<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: body()) }
        }
    }

    @Test func noRuleIsBroken() async {
        let contradictions = await self.computing {
            (1...UInt64(80)).flatMap { seed in
                let simulation = Simulation(seed: seed)
                return simulation.run().map { "seed \(seed): \($0) \(simulation.description)" }
            }
        }
        #expect(contradictions == [])
    }

    /// The model in Python lost two messages with it, for a reason that was never found.
    @Test func theModelsOpenSeed() {
        #expect(Simulation(seed: 30_571).run() == [])
    }

    /// A simulator that finds nothing because nothing happens would be of no use.
    @Test func faultsHappen() async {
        let summary = await self.computing {
            (1...UInt64(20)).reduce(into: Summary()) { summary, seed in
                let simulation = Simulation(seed: seed)
                _ = simulation.run()
                summary += simulation.summary
            }
        }
        #expect(summary.owed > 5_000)
        #expect(summary.requests > 20)
        #expect(summary.repeats > 50)
        #expect(summary.refused > 0)
        #expect(summary.replaced > 0)
        #expect(summary.unnumbered > 0)
        #expect(summary.suspects > 0)
        #expect(summary.deaths > 0)
    }
}
