/// Takes MessagePack apart, one head at a time, without building values.
///
/// A head that claims more than the bytes that are left is an error at once, so that what a reader makes room for is
/// bounded by the input.
struct MessagePackReader {
    let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// A value without parts, or the head of one with parts.
    enum Token {
        case null
        case boolean(Bool)
        case integer(Int64)
        /// Only what does not fit `Int64`.
        case unsigned(UInt64)
        case float(Float)
        case double(Double)
        case string(Range<Int>)
        case binary(Range<Int>)
        /// That many elements follow.
        case array(Int)
        /// That many keys follow, each with its value.
        case map(Int)
        case ext(type: Int8, Range<Int>)
    }

    var isAtEnd: Bool { self.position == self.bytes.count }

    var remaining: Int { self.bytes.count &- self.position }

    /// The undefined of old notepack.io comes next: an extension of type 0 with one byte.
    var isAtUndefined: Bool {
        self.remaining >= 3 && self.bytes[self.position] == 0xD4 && self.bytes[self.position &+ 1] == 0
    }

    var isAtNull: Bool { !self.isAtEnd && self.bytes[self.position] == 0xC0 }

    mutating func next() throws(MessagePackError) -> Token {
        let type = try self.load(UInt8.self)
        switch type {
        case 0x00...0x7F: return .integer(Int64(type))
        case 0x80...0x8F: return .map(try self.count(Int(type & 0x0F), minimumSize: 2))
        case 0x90...0x9F: return .array(try self.count(Int(type & 0x0F), minimumSize: 1))
        case 0xA0...0xBF: return .string(try self.take(Int(type & 0x1F)))
        case 0xC0: return .null
        case 0xC1: throw .unknownType(offset: self.position &- 1)
        case 0xC2: return .boolean(false)
        case 0xC3: return .boolean(true)
        case 0xC4: return .binary(try self.take(Int(self.load(UInt8.self))))
        case 0xC5: return .binary(try self.take(Int(self.load(UInt16.self))))
        case 0xC6: return .binary(try self.take(Int(self.load(UInt32.self))))
        case 0xC7: return try self.ext(Int(self.load(UInt8.self)))
        case 0xC8: return try self.ext(Int(self.load(UInt16.self)))
        case 0xC9: return try self.ext(Int(self.load(UInt32.self)))
        case 0xCA: return .float(Float(bitPattern: try self.load(UInt32.self)))
        case 0xCB: return .double(Double(bitPattern: try self.load(UInt64.self)))
        case 0xCC: return .integer(Int64(try self.load(UInt8.self)))
        case 0xCD: return .integer(Int64(try self.load(UInt16.self)))
        case 0xCE: return .integer(Int64(try self.load(UInt32.self)))
        case 0xCF:
            let value = try self.load(UInt64.self)
            return Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
        case 0xD0: return .integer(Int64(try self.load(Int8.self)))
        case 0xD1: return .integer(Int64(try self.load(Int16.self)))
        case 0xD2: return .integer(Int64(try self.load(Int32.self)))
        case 0xD3: return .integer(try self.load(Int64.self))
        case 0xD4...0xD8: return try self.ext(1 << Int(type &- 0xD4))
        case 0xD9: return .string(try self.take(Int(self.load(UInt8.self))))
        case 0xDA: return .string(try self.take(Int(self.load(UInt16.self))))
        case 0xDB: return .string(try self.take(Int(self.load(UInt32.self))))
        case 0xDC: return .array(try self.count(Int(self.load(UInt16.self)), minimumSize: 1))
        case 0xDD: return .array(try self.count(Int(self.load(UInt32.self)), minimumSize: 1))
        case 0xDE: return .map(try self.count(Int(self.load(UInt16.self)), minimumSize: 2))
        case 0xDF: return .map(try self.count(Int(self.load(UInt32.self)), minimumSize: 2))
        case 0xE0...0xFF: return .integer(Int64(Int8(bitPattern: type)))
        default: throw .unknownType(offset: self.position &- 1)
        }
    }

    /// Passes over the value that comes next, however deep it is.
    mutating func skipValue() throws(MessagePackError) {
        var open = 1
        while open > 0 {
            open &-= 1
            switch try self.next() {
            // A count is at most the bytes that are left, so that the sum cannot overflow.
            case .array(let count): open &+= count
            case .map(let count): open &+= 2 &* count
            default: break
            }
        }
    }

    /// Passes over the number for the delivery, at once, if it is what the message ends with.
    mutating func skipStamp() -> Bool {
        guard self.remaining == BusMessage.stampLength,
            self.bytes.loadUnaligned(fromByteOffset: self.position, as: UInt32.self) == BusMessage.stampMark.bigEndian
        else { return false }
        self.position = self.bytes.count
        return true
    }

    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.bytes[range])
    }

    func string(_ range: Range<Int>) -> String {
        String(decoding: self.slice(range), as: UTF8.self)
    }

    private mutating func load<Integer: FixedWidthInteger>(_: Integer.Type) throws(MessagePackError) -> Integer {
        let size = MemoryLayout<Integer>.size
        guard self.remaining >= size else { throw .endOfData }
        let value = self.bytes.loadUnaligned(fromByteOffset: self.position, as: Integer.self)
        self.position &+= size
        return Integer(bigEndian: value)
    }

    private mutating func take(_ length: Int) throws(MessagePackError) -> Range<Int> {
        guard self.remaining >= length else { throw .endOfData }
        let start = self.position
        self.position &+= length
        return start..<self.position
    }

    /// - Parameter minimumSize: the fewest bytes that an element takes.
    private func count(_ count: Int, minimumSize: Int) throws(MessagePackError) -> Int {
        guard self.remaining >= count &* minimumSize else { throw .endOfData }
        return count
    }

    private mutating func ext(_ length: Int) throws(MessagePackError) -> Token {
        let type = try self.load(Int8.self)
        return .ext(type: type, try self.take(length))
    }
}
