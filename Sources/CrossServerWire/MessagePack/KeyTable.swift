import NIOCore

/// The keys of one object that is being written as MessagePack, to find those that come again.
///
/// Up to sixteen members take no memory and one comparison of vectors each; more are sorted when the object is complete,
/// so that no choice of keys makes it slow.
struct KeyTable {
    private static let small = 16

    /// Of a lane that is in use: the key's hash, and where the key is in the output.
    private var hashes = SIMD16<UInt32>()
    private var starts = SIMD16<UInt32>()
    private var ends = SIMD16<UInt32>()
    /// Members so far, with those that were repeated.
    private var total = 0
    private var repeated = 0
    /// All members, once there are more than sixteen.
    private var members: [Member] = []

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
    mutating func insert(_ key: Range<Int>, in output: ByteBuffer) -> Range<Int>? {
        let hash = output.withReadableBytes(key, Self.hash)
        let lane = self.total
        self.total &+= 1
        guard lane < Self.small else {
            if lane == Self.small { self.spill() }
            self.members[lane - 1].end = key.lowerBound
            self.members.append(Member(hash: hash, key: key, end: key.upperBound))
            return nil
        }
        let matches = self.hashes .== hash
        self.hashes[lane] = hash
        self.starts[lane] = UInt32(truncatingIfNeeded: key.lowerBound)
        self.ends[lane] = UInt32(truncatingIfNeeded: key.upperBound)
        guard any(matches) else { return nil }
        for earlier in 0..<lane where matches[earlier] && output.compare(self.key(earlier), key) == 0 {
            self.hashes[earlier] = 0
            self.repeated &+= 1
            return Int(self.starts[earlier])..<Int(self.starts[earlier + 1])
        }
        return nil
    }

    /// Calls `replaced` with where each member is whose key came again, when ``insert(_:in:)`` has not told it.
    mutating func finish(in output: ByteBuffer, replaced: (Range<Int>) -> Void) {
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

extension ByteBuffer {
    /// - Parameter range: of indices of the buffer, within its readable bytes.
    fileprivate func withReadableBytes<Result>(
        _ range: Range<Int>,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        self.withUnsafeReadableBytes { bytes in
            let start = range.lowerBound - self.readerIndex
            return body(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + range.count)]))
        }
    }

    /// Whether the bytes of one range are less (negative), equal (0) or more than those of another.
    fileprivate func compare(_ first: Range<Int>, _ second: Range<Int>) -> Int {
        self.withReadableBytes(first) { first in
            self.withReadableBytes(second) { second in
                for index in 0..<min(first.count, second.count) where first[index] != second[index] {
                    return Int(first[index]) - Int(second[index])
                }
                return first.count - second.count
            }
        }
    }
}
