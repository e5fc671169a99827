/// The fuzzer's bytes: the first few choose what is tried, the rest is the input.
public struct FuzzInput {
    public private(set) var rest: ArraySlice<UInt8>

    public init(_ start: UnsafePointer<UInt8>?, _ count: Int) {
        self.rest = Array(UnsafeBufferPointer(start: start, count: count))[...]
    }

    /// 0 when there are no more.
    public mutating func byte() -> UInt8 {
        self.rest.popFirst() ?? 0
    }
}

/// Ends the program, which the fuzzer reports as a finding.
public func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { fatalError(message()) }
}

extension Array {
    /// The elements in pieces of pseudorandom sizes, most of them small.
    public func pieces(seed: UInt8) -> [[Element]] {
        var state = UInt32(seed) &* 2_654_435_761 &+ 1
        var pieces: [[Element]] = []
        var start = 0
        while start < self.count {
            state = state &* 1_664_525 &+ 1_013_904_223
            let limit: UInt32 = state >> 31 == 0 ? 4 : 64
            let end = Swift.min(self.count, start + 1 + Int((state >> 8) % limit))
            pieces.append(Array(self[start..<end]))
            start = end
        }
        return pieces
    }

    public var singles: [[Element]] { self.map { [$0] } }
}
