/// The keys of one object that is being written as MessagePack, to find those that come again.
///
/// Up to sixteen members are compared one by one and take no memory; more are sorted when the object is complete, so
/// that no choice of keys makes it slow.
struct KeyTable {
    private static let small = 16

    /// Of the first sixteen members: the hash of the key, 0 for one that was replaced, and where the key is.
    private var hashes = Lanes()
    private var starts = Lanes()
    private var ends = Lanes()
    /// Members so far, with those that were repeated.
    private var total = 0
    private var repeated = 0
    /// All members, once there are more than sixteen.
    private var members: [Member] = []

    /// Sixteen numbers in place. The subscript of the vector itself is slow.
    private struct Lanes {
        private var numbers = SIMD16<UInt32>()

        subscript(lane: Int) -> UInt32 {
            get {
                withUnsafeBytes(of: self.numbers) { $0.load(fromByteOffset: 4 &* (lane & 15), as: UInt32.self) }
            }
            set {
                withUnsafeMutableBytes(of: &self.numbers) {
                    $0.storeBytes(of: newValue, toByteOffset: 4 &* (lane & 15), as: UInt32.self)
                }
            }
        }
    }

    private struct Member {
        /// 0 for one that was replaced.
        var hash: UInt32
        var key: Range<Int>
        /// Where its value ends and the next member begins.
        var end: Int
    }

    /// How many different keys there are. To be asked after ``finish(_:in:)``.
    var count: Int { self.total - self.repeated }

    /// Takes a key that was just written.
    ///
    /// - Returns: where the earlier member with this key is, which the new one replaces.
    mutating func insert(_ key: Range<Int>, in output: UnsafeRawBufferPointer) -> Range<Int>? {
        let hash = Self.hash(UnsafeRawBufferPointer(rebasing: output[key]))
        let lane = self.total
        self.total &+= 1
        guard lane < Self.small else {
            if lane == Self.small { self.spill() }
            self.members[lane - 1].end = key.lowerBound
            self.members.append(Member(hash: hash, key: key, end: key.upperBound))
            return nil
        }
        self.hashes[lane] = hash
        self.starts[lane] = UInt32(truncatingIfNeeded: key.lowerBound)
        self.ends[lane] = UInt32(truncatingIfNeeded: key.upperBound)
        for earlier in 0..<lane where self.hashes[earlier] == hash && output.compare(self.key(earlier), key) == 0 {
            self.hashes[earlier] = 0
            self.repeated &+= 1
            return Int(self.starts[earlier])..<Int(self.starts[earlier + 1])
        }
        return nil
    }

    /// Calls `replaced` with where each member is whose key came again, when ``insert(_:in:)`` has not told it.
    mutating func finish(in output: UnsafeRawBufferPointer, replaced: (Range<Int>) -> Void) {
        guard !self.members.isEmpty else { return }
        let sorted = self.members.filter { $0.hash != 0 }.sorted { first, second in
            if first.hash != second.hash { return first.hash < second.hash }
            switch output.compare(first.key, second.key) {
            case 0: return first.key.lowerBound < second.key.lowerBound
            case let order: return order < 0
            }
        }
        for (first, second) in zip(sorted, sorted.dropFirst())
        where first.hash == second.hash && output.compare(first.key, second.key) == 0 {
            self.repeated += 1
            replaced(first.key.lowerBound..<first.end)
        }
    }

    private func key(_ lane: Int) -> Range<Int> {
        Int(self.starts[lane])..<Int(self.ends[lane])
    }

    private mutating func spill() {
        self.members.reserveCapacity(4 * Self.small)
        for lane in 0..<Self.small {
            let end = lane + 1 < Self.small ? Int(self.starts[lane + 1]) : 0
            self.members.append(Member(hash: self.hashes[lane], key: self.key(lane), end: end))
        }
    }

    /// FNV-1a; never 0.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var hash: UInt32 = 0x811C_9DC5
        for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return hash | 1
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes of one range are less (negative), equal (0) or more than those of another.
    fileprivate func compare(_ first: Range<Int>, _ second: Range<Int>) -> Int {
        for index in 0..<Swift.min(first.count, second.count) {
            let order = Int(self[first.lowerBound + index]) - Int(self[second.lowerBound + index])
            if order != 0 { return order }
        }
        return first.count - second.count
    }
}
