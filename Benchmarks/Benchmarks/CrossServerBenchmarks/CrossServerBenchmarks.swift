import Benchmark
import CMallocCounter

/// The benchmark plugin's entry point.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .mallocs],
        warmupIterations: 2,
        maxDuration: .seconds(1),
        maxIterations: 200
    )
    wireBenchmarks()
    webSocketBenchmarks()
    serverBenchmarks()
}

extension BenchmarkMetric {
    /// Allocations of one iteration, all of its operations together.
    static var mallocs: BenchmarkMetric { .custom("mallocs") }
}

extension Benchmark {
    /// Measures the operation alone, as often as the scaling factor says. One before it fills the buffers that are kept.
    func measure(_ operation: () throws -> Void) rethrows {
        try operation()
        self.startMeasurement()
        let before = CMallocCounter_count()
        for _ in self.scaledIterations { try operation() }
        let after = CMallocCounter_count()
        self.stopMeasurement()
        self.measurement(.mallocs, after - before)
    }
}

extension Benchmark.Configuration {
    /// An iteration of 1,000 operations.
    static var thousand: Self {
        var configuration = Benchmark.defaultConfiguration
        configuration.scalingFactor = .kilo
        return configuration
    }
}
