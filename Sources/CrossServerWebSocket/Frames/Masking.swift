/// The masking of RFC 6455, section 5.3.
enum Masking {
    /// XORs the bytes with the key.
    ///
    /// - Parameters:
    ///   - key: its first byte on the wire is the lowest.
    ///   - offset: the position of the first of the bytes in the frame's payload.
    static func apply(key: UInt32, offset: Int, to bytes: UnsafeMutableRawBufferPointer) {
        let shift = UInt32(truncatingIfNeeded: offset & 3) * 8
        let rotated = key &>> shift | key &<< (32 &- shift)
        // A shift by 32 is masked to 0 and would combine the key with itself, which changes nothing.
        let word = UInt64(rotated) &<< 32 | UInt64(rotated)
        let pattern = word.littleEndian
        let count = bytes.count
        var index = 0
        while index &+ 32 <= count {
            for part in 0..<4 {
                let position = index &+ part &* 8
                let value = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                bytes.storeBytes(of: value ^ pattern, toByteOffset: position, as: UInt64.self)
            }
            index &+= 32
        }
        while index &+ 8 <= count {
            let value = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            bytes.storeBytes(of: value ^ pattern, toByteOffset: index, as: UInt64.self)
            index &+= 8
        }
        var rest = word
        while index < count {
            bytes[index] ^= UInt8(truncatingIfNeeded: rest)
            rest &>>= 8
            index &+= 1
        }
    }
}
