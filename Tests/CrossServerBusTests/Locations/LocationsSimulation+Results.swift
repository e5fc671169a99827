import NIOCore

@testable import CrossServerBus

extension LocationsSimulation {
    /// Messages that came twice to one connection, or after one that was sent later.
    var disordered: [Message] {
        self.sessions.values.joined().flatMap { session -> [Message] in
            var last: [Int: Int] = [:]
            return session.delivered.filter { message in
                defer { last[message.sender] = message.number }
                return message.number <= last[message.sender] ?? -1
            }
        }
    }

    /// Messages that did not come to a client although it stayed connected to one server, from before they were sent, and
    /// their sender lived on.
    ///
    /// With ``Options/replaces`` the connections of a client count as one.
    func missing(patience: Int64) -> [Message] {
        let delivered = Set(self.sessions.values.joined().flatMap(\.delivered))
        return self.sent.filter { message, time in
            !delivered.contains(message) && !self.excused.contains(message)
                && self.deaths[message.sender] ?? .max > time + patience
                && self.sessions[message.id]?.contains { session in
                    session.start < time && (session.end > time + patience || self.options.replaces)
                } == true
        }
        .map(\.message)
    }
}

extension LocationsSimulation {
    /// Messages that nobody heard, that found their client nowhere, and of which more than these were reported as lost.
    var lostInSilence: [Message] {
        let delivered = Set(self.sessions.values.joined().flatMap(\.delivered))
        let lost = self.unheard.filter { !delivered.contains($0) && self.deaths[$0.sender] == nil }
        let byStream = Dictionary(grouping: lost) { "\($0.sender) \($0.id)" }
        return byStream.filter { $0.value.count > self.reported[$0.key] ?? 0 }.values.flatMap { $0 }
    }
}

extension LocationsSimulation {
    /// Those of the ``missing(patience:)`` that were not sent while their client moved, and of which more than these were
    /// reported as lost.
    func unexplained(patience: Int64) -> [Message] {
        let starts = self.sessions.mapValues { $0.map(\.start) }
        let times = Dictionary(uniqueKeysWithValues: self.sent.map { ($0.message, $0.time) })
        let missing = self.missing(patience: patience).filter { message in
            guard let time = times[message] else { return false }
            return starts[message.id]?.contains { (time - 150...time + 150).contains($0) } != true
        }
        let byStream = Dictionary(grouping: missing) { "\($0.sender) \($0.id)" }
        return byStream.filter { $0.value.count > self.reported[$0.key] ?? 0 }.values.flatMap { $0 }
    }
}

extension LocationsSimulation.Message {
    var frame: ByteBuffer { ByteBuffer(string: "\(self.sender) \(self.id) \(self.number)") }

    init(frame: ByteBuffer) {
        let parts = String(buffer: frame).split(separator: " ")
        self.init(sender: Int(parts[0]) ?? -1, id: String(parts[1]), number: Int(parts[2]) ?? -1)
    }
}

/// A generator whose numbers follow from its seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
