import CoreMetrics

/// Hands what is counted elsewhere to a metrics backend. What is not named in an update any more is given up: a link that
/// was removed, a server that has gone.
struct MetricsBook: Sendable {
    private struct Key: Hashable, Sendable {
        var label: String
        var dimensions: [String]
    }

    private struct Total: Sendable {
        var counter: Counter
        var value = 0
        var life = ""
        var update = 0
    }

    private struct Level: Sendable {
        var gauge: Gauge
        var update: Int
    }

    private let factory: any MetricsFactory
    /// That all of them have.
    private let dimensions: [(String, String)]
    private var totals: [Key: Total] = [:]
    private var levels: [Key: Level] = [:]
    private var update = 0

    init(factory: any MetricsFactory, dimensions: [(String, String)]) {
        self.factory = factory
        self.dimensions = dimensions
    }

    /// - Parameters:
    ///   - value: all that was counted so far.
    ///   - life: of what is counted; another one begins at zero.
    mutating func count(_ label: String, _ value: Int, life: String = "", _ dimensions: (String, String)...) {
        let key = Key(label: label, dimensions: dimensions.map { $0.1 })
        var total =
            self.totals[key]
            ?? Total(counter: Counter(label: label, dimensions: self.dimensions + dimensions, factory: self.factory))
        let new = value - (life == total.life ? total.value : 0)
        if new > 0 { total.counter.increment(by: new) }
        total.value = value
        total.life = life
        total.update = self.update
        self.totals[key] = total
    }

    mutating func record(_ label: String, _ value: Int, _ dimensions: (String, String)...) {
        let key = Key(label: label, dimensions: dimensions.map { $0.1 })
        var level =
            self.levels[key]
            ?? Level(
                gauge: Gauge(label: label, dimensions: self.dimensions + dimensions, factory: self.factory),
                update: 0
            )
        level.gauge.record(value)
        level.update = self.update
        self.levels[key] = level
    }

    mutating func endUpdate() {
        for (key, total) in self.totals where total.update != self.update {
            total.counter.destroy()
            self.totals[key] = nil
        }
        for (key, level) in self.levels where level.update != self.update {
            level.gauge.destroy()
            self.levels[key] = nil
        }
        self.update += 1
    }
}
