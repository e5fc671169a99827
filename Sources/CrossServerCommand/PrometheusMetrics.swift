import CoreMetrics
import Synchronization

/// Keeps counters and gauges, and writes them in the text format of Prometheus. What else there may be is not kept.
final class PrometheusMetrics: MetricsFactory {
    private struct Key: Hashable {
        var name: String
        /// As they are written: `server="serverA"`.
        var labels: String
    }

    private final class Total: CounterHandler {
        let value = Atomic<Int64>(0)

        func increment(by amount: Int64) { self.value.wrappingAdd(amount, ordering: .relaxed) }
        func reset() { self.value.store(0, ordering: .relaxed) }
    }

    private final class Level: RecorderHandler {
        private let bits = Atomic<UInt64>(0)

        var value: Double { Double(bitPattern: self.bits.load(ordering: .relaxed)) }
        func record(_ value: Int64) { self.record(Double(value)) }
        func record(_ value: Double) { self.bits.store(value.bitPattern, ordering: .relaxed) }
    }

    private struct State: Sendable {
        var totals: [Key: Total] = [:]
        var levels: [Key: Level] = [:]
    }

    private let state = Mutex(State())

    var text: String {
        let state = self.state.withLock { $0 }
        var lines: [String] = []
        func write(_ type: String, _ samples: [(key: Key, value: String)]) {
            var last = ""
            for (key, value) in samples.sorted(by: { ($0.key.name, $0.key.labels) < ($1.key.name, $1.key.labels) }) {
                if key.name != last { lines.append("# TYPE \(key.name) \(type)") }
                last = key.name
                lines.append("\(key.name){\(key.labels)} \(value)")
            }
        }
        write("counter", state.totals.map { ($0.key, "\($0.value.value.load(ordering: .relaxed))") })
        write("gauge", state.levels.map { ($0.key, "\($0.value.value)") })
        return lines.map { $0 + "\n" }.joined()
    }

    private static func key(_ label: String, _ dimensions: [(String, String)], suffix: String = "") -> Key {
        let labels = dimensions.map { name, value in
            let escaped = value.map { character in
                switch character {
                case "\\": #"\\"#
                case "\"": #"\""#
                case "\n": #"\n"#
                default: String(character)
                }
            }
            return "\(Self.name(name))=\"\(escaped.joined())\""
        }
        return Key(name: Self.name(label) + suffix, labels: labels.joined(separator: ","))
    }

    private static func name(_ name: String) -> String {
        String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let key = Self.key(label, dimensions, suffix: "_total")
        return self.state.withLock { state in
            let total = state.totals[key] ?? Total()
            state.totals[key] = total
            return total
        }
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard !aggregate else { return NOOPMetricsHandler.instance }
        let key = Self.key(label, dimensions)
        return self.state.withLock { state in
            let level = state.levels[key] ?? Level()
            state.levels[key] = level
            return level
        }
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler { NOOPMetricsHandler.instance }

    func destroyCounter(_ handler: any CounterHandler) {
        self.state.withLock { state in state.totals = state.totals.filter { $0.value !== handler } }
    }

    func destroyRecorder(_ handler: any RecorderHandler) {
        self.state.withLock { state in state.levels = state.levels.filter { $0.value !== handler } }
    }

    func destroyTimer(_ handler: any TimerHandler) {}
}
