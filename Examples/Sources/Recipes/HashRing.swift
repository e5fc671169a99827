/// Assigns keys to nodes by consistent hashing: when a node comes or goes, only the keys move that it gets or had.
///
/// Each node has many points on a circle of numbers, and a key belongs to the node whose point comes next. The same nodes
/// give the same answers in every process, in whatever order they are named.
public struct HashRing: Sendable, Equatable {
    private struct Point: Sendable, Equatable {
        var position: UInt64
        var node: String
    }

    private let points: [Point]

    /// - Parameter pointsPerNode: more of them share the keys out more evenly. With 200 a node has about as much as any
    ///   other, give or take a fifth.
    public init(nodes: some Sequence<String>, pointsPerNode: Int = 200) {
        self.points = Set(nodes)
            .flatMap { node in
                (0..<pointsPerNode).map { Point(position: Self.hash("\(node)#\($0)"), node: node) }
            }
            .sorted { ($0.position, $0.node) < ($1.position, $1.node) }
    }

    /// - Returns: nil when there are no nodes.
    public func node(for key: String) -> String? {
        let position = Self.hash(key)
        var (low, high) = (0, self.points.count)
        while low < high {
            let middle = (low + high) / 2
            if self.points[middle].position < position { low = middle + 1 } else { high = middle }
        }
        // Behind the last point comes the first.
        return low < self.points.count ? self.points[low].node : self.points.first?.node
    }

    /// FNV-1a, and the end of MurmurHash3, which spreads texts that differ little. `Hasher` would give each process other
    /// numbers.
    static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ (hash >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        hash = (hash ^ (hash >> 33)) &* 0xC4CE_B9FE_1A85_EC53
        return hash ^ (hash >> 33)
    }
}
