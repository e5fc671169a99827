import ClusterSimulator
import Testing

/// The delivery rules under random faults. `Scripts/simulate` runs any number of seeds.
@Suite struct SimulatorTests {
    @Test(arguments: 0..<8)
    func noRuleIsBroken(part: UInt64) {
        for seed in (part * 20 + 1)...(part * 20 + 20) {
            let simulation = Simulation(seed: seed)
            let contradictions = simulation.run()
            #expect(contradictions == [], "seed \(seed): \(simulation.description)")
        }
    }

    /// The model in Python lost two messages with it, for a reason that was never found.
    @Test func theModelsOpenSeed() {
        #expect(Simulation(seed: 30_571).run() == [])
    }

    /// A simulator that finds nothing because nothing happens would be of no use.
    @Test func faultsHappen() {
        var summary = Summary()
        for seed in 1...UInt64(20) {
            let simulation = Simulation(seed: seed)
            _ = simulation.run()
            summary += simulation.summary
        }
        #expect(summary.owed > 5_000)
        #expect(summary.requests > 20)
        #expect(summary.repeats > 50)
        #expect(summary.refused > 0)
        #expect(summary.replaced > 0)
        #expect(summary.unnumbered > 0)
    }
}
