import NIOCore

/// Reads items at a position in bytes that may end anywhere.
struct RESPReader {
    enum Aggregate {
        case array, set, map, push, attribute
    }

    /// A value without others in it, or the beginning of one with `slots` values in it.
    enum Item {
        case value(RESPValue)
        case aggregate(Aggregate, slots: Int)
    }

    /// How far it came, relative to the reader index of the buffer.
    struct Progress {
        var position = 0
        /// No line ends before it.
        var searched = 0
        /// The sum of what the aggregates announced.
        var elements = 0
    }

    /// A string that is longer than allowed and may be passed over, relative to the reader index of the buffer.
    struct Oversized {
        /// Where its length begins, and where its content does.
        var start: Int
        var content: Int
        var length: Int
    }

    let buffer: ByteBuffer
    let bytes: UnsafeRawBufferPointer
    let limits: RESPLimits
    var progress: Progress
    /// Set when the next item is such a string.
    private(set) var oversized: Oversized?

    init(buffer: ByteBuffer, bytes: UnsafeRawBufferPointer, limits: RESPLimits, progress: Progress) {
        self.buffer = buffer
        self.bytes = bytes
        self.limits = limits
        self.progress = progress
    }

    /// - Returns: nil when the item's end is missing, or it is ``oversized``; the position is left at its beginning then.
    mutating func nextItem() throws(RESPError) -> Item? {
        let start = self.progress.position
        guard start < self.bytes.count else { return nil }
        let type = self.bytes[start]
        let item: Item?
        switch type {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
            item = try self.string(type, from: start + 1)
        case UInt8(ascii: "*"): item = try self.aggregate(.array, from: start + 1)
        case UInt8(ascii: ">"): item = try self.aggregate(.push, from: start + 1)
        case UInt8(ascii: "%"): item = try self.aggregate(.map, from: start + 1)
        case UInt8(ascii: "~"): item = try self.aggregate(.set, from: start + 1)
        case UInt8(ascii: "|"): item = try self.aggregate(.attribute, from: start + 1)
        case UInt8(ascii: ":"):
            guard let (number, end) = try self.integer(from: start + 1) else { return nil }
            self.progress.position = end
            item = .value(.integer(number))
        default: item = try self.lineValue(type, from: start + 1)
        }
        guard item != nil else { return nil }
        guard self.progress.position <= self.limits.maximumLength else { throw self.tooLong }
        return item
    }

    private var tooLong: RESPError { .limitExceeded("value is longer than \(self.limits.maximumLength) bytes") }

    private mutating func aggregate(_ aggregate: Aggregate, from start: Int) throws(RESPError) -> Item? {
        guard let (count, end) = try self.integer(from: start) else { return nil }
        if count == -1, aggregate == .array {
            self.progress.position = end
            return .value(.null)
        }
        guard count >= 0 else { throw .invalid("invalid multibulk length") }
        let perEntry: Int64 = aggregate == .map || aggregate == .attribute ? 2 : 1
        guard count <= Int64(self.limits.maximumElements) / perEntry else { throw self.tooManyElements }
        let slots = Int(count * perEntry)
        // An attribute counts itself: it is no value that another has announced.
        self.progress.elements += slots + (aggregate == .attribute ? 1 : 0)
        guard self.progress.elements <= self.limits.maximumElements else { throw self.tooManyElements }
        self.progress.position = end
        return .aggregate(aggregate, slots: slots)
    }

    private var tooManyElements: RESPError {
        .limitExceeded("value has more than \(self.limits.maximumElements) elements")
    }

    private mutating func string(_ type: UInt8, from start: Int) throws(RESPError) -> Item? {
        guard let (announced, content) = try self.integer(from: start) else { return nil }
        if announced == -1, type == UInt8(ascii: "$") {
            self.progress.position = content
            return .value(.null)
        }
        guard announced >= 0 else { throw .invalid("invalid bulk length") }
        guard announced <= Int64(self.limits.maximumBulkLength) else {
            guard announced <= Int64(self.limits.maximumSkippedLength) else {
                throw .limitExceeded("string is longer than \(self.limits.maximumBulkLength) bytes")
            }
            self.oversized = Oversized(start: start - 1, content: content, length: Int(announced))
            return nil
        }
        let end = content + Int(announced)
        guard end + 2 <= self.limits.maximumLength else { throw self.tooLong }
        guard self.bytes.count >= end + 2 else { return nil }
        guard self.bytes[end] == .carriageReturn, self.bytes[end + 1] == .lineFeed else {
            throw .invalid("string does not end where its length says")
        }
        self.progress.position = end + 2
        switch type {
        case UInt8(ascii: "$"): return .value(.bulkString(self.slice(content..<end)))
        case UInt8(ascii: "!"): return .value(.bulkError(self.text(content..<end)))
        default:
            guard end - content >= 4, self.bytes[content + 3] == UInt8(ascii: ":"),
                self.bytes[content..<(content + 3)].allSatisfy({ $0 < 0x80 })
            else { throw .invalid("verbatim string without a format") }
            let format = self.text(content..<(content + 3))
            return .value(.verbatimString(format: format, self.slice((content + 4)..<end)))
        }
    }

    private mutating func lineValue(_ type: UInt8, from start: Int) throws(RESPError) -> Item? {
        guard Self.lineTypes.contains(type) else {
            throw .invalid("unknown type, byte \(type)")
        }
        guard let line = try self.line(from: start) else { return nil }
        self.progress.position = line.upperBound + 2
        switch type {
        case UInt8(ascii: "+"): return .value(.simpleString(self.text(line)))
        case UInt8(ascii: "-"): return .value(.simpleError(self.text(line)))
        case UInt8(ascii: "_"):
            guard line.isEmpty else { throw .invalid("invalid null") }
            return .value(.null)
        case UInt8(ascii: "#"):
            switch self.text(line) {
            case "t": return .value(.boolean(true))
            case "f": return .value(.boolean(false))
            default: throw .invalid("invalid boolean")
            }
        case UInt8(ascii: ","): return .value(.double(try self.double(line)))
        default:
            let digits = self.bytes[line].first.map { $0 == .minus || $0 == .plus } == true ? line.dropFirst() : line
            guard !digits.isEmpty, self.bytes[digits].allSatisfy(\.isDigit) else {
                throw .invalid("invalid big number")
            }
            return .value(.bigNumber(self.text(line)))
        }
    }

    private static let lineTypes = Array("+-_#,(".utf8)

    private func double(_ line: Range<Int>) throws(RESPError) -> Double {
        let text = self.text(line)
        switch text {
        case "inf": return .infinity
        case "-inf": return -.infinity
        case "nan", "-nan": return .nan
        default:
            // Double's own initializer takes more, such as hexadecimal digits.
            let allowed: (UInt8) -> Bool = { $0.isDigit || "+-.eE".utf8.contains($0) }
            guard text.utf8.allSatisfy(allowed), let number = Double(text) else { throw .invalid("invalid double") }
            return number
        }
    }

    /// Finds the line's end, and continues the search where the last one had to stop.
    ///
    /// - Returns: the content, behind which CR LF follow; nil when they are not there.
    private mutating func line(from start: Int) throws(RESPError) -> Range<Int>? {
        var index = max(start, self.progress.searched)
        let furthest = start + self.limits.maximumLineLength
        let end = min(self.bytes.count, furthest + 1)
        while index < end, self.bytes[index] != .carriageReturn, self.bytes[index] != .lineFeed { index &+= 1 }
        guard index <= furthest else {
            throw .limitExceeded("line is longer than \(self.limits.maximumLineLength) bytes")
        }
        self.progress.searched = index
        guard index < self.bytes.count else { return nil }
        guard self.bytes[index] == .carriageReturn else { throw .invalid("line does not end with CR LF") }
        guard index + 1 < self.bytes.count else { return nil }
        guard self.bytes[index + 1] == .lineFeed else { throw .invalid("line does not end with CR LF") }
        return start..<index
    }

    /// - Returns: the number and where the next item begins; nil when the line's end is missing.
    private func integer(from start: Int) throws(RESPError) -> (Int64, end: Int)? {
        try RESPNumber.parse(self.bytes, from: start)
    }

    private func slice(_ range: Range<Int>) -> ByteBuffer {
        // The range was found in the readable bytes: there is no other case.
        self.buffer.getSlice(at: self.buffer.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: self.bytes[range]), as: UTF8.self)
    }
}

enum RESPNumber {
    /// More have leading zeros or are no 64 bit number.
    private static let maximumDigits = 20

    /// Reads a number and the CR LF behind it.
    ///
    /// - Returns: the number and the position behind its line; nil when the line's end is missing.
    static func parse(_ bytes: UnsafeRawBufferPointer, from start: Int) throws(RESPError) -> (Int64, end: Int)? {
        var index = start
        guard index < bytes.count else { return nil }
        let isNegative = bytes[index] == .minus
        if isNegative || bytes[index] == .plus { index &+= 1 }
        let firstDigit = index
        var magnitude: UInt64 = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            let (tens, isTooLarge) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, isTooLargeWithDigit) = tens.addingReportingOverflow(UInt64(digit))
            guard !isTooLarge, !isTooLargeWithDigit, index - firstDigit < Self.maximumDigits else {
                throw .invalid("number out of range")
            }
            magnitude = sum
            index &+= 1
        }
        guard index < bytes.count else { return nil }
        guard index > firstDigit, bytes[index] == .carriageReturn else { throw .invalid("invalid number") }
        guard index + 1 < bytes.count else { return nil }
        guard bytes[index + 1] == .lineFeed else { throw .invalid("line does not end with CR LF") }
        guard magnitude <= Int64.max.magnitude + (isNegative ? 1 : 0) else { throw .invalid("number out of range") }
        let bits = isNegative ? 0 &- magnitude : magnitude
        return (Int64(bitPattern: bits), end: index + 2)
    }
}

extension UInt8 {
    var isDigit: Bool { self &- UInt8(ascii: "0") <= 9 }
}
