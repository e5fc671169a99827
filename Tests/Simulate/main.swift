import ClusterSimulator

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Simulate [--seeds A-B] [--verbose]: runs the seeds, and prints each that contradicts the delivery rules.
func run(_ arguments: [String]) -> Bool {
    var seeds: ClosedRange<UInt64> = 1...1_000
    if let index = arguments.firstIndex(of: "--seeds"), arguments.indices.contains(index + 1) {
        let bounds = arguments[index + 1].split(separator: "-").compactMap { UInt64($0) }
        if let first = bounds.first, let last = bounds.last, first <= last { seeds = first...last }
    }
    let isVerbose = arguments.contains("--verbose")
    var summary = Summary()
    var failures = 0
    for seed in seeds {
        let simulation = Simulation(seed: seed)
        let contradictions = simulation.run()
        summary += simulation.summary
        if isVerbose { for line in simulation.faults { print(line) } }
        guard !contradictions.isEmpty else { continue }
        failures += 1
        print("seed \(seed): \(simulation.description)")
        for contradiction in contradictions { print("    \(contradiction)") }
        print("    again: Scripts/simulate --seeds \(seed) --verbose")
    }
    print("\(seeds.count) seeds, \(failures) with contradictions")
    print(summary)
    return failures == 0
}

exit(run(CommandLine.arguments) ? 0 : 1)
