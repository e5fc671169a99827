public import NIOCore

/// Reads the values that a Redis server sends, RESP2 and RESP3, from bytes that come in any pieces.
///
/// Only whole values are taken from the buffer, so that nothing is kept besides it. How far a value was seen whose end is
/// missing is remembered: its bytes are looked at a constant number of times, however many reads it comes in.
public struct RESPParser: Sendable {
    private let limits: RESPLimits
    /// Of the value whose end is missing.
    private var scan: Scan?

    /// A string that is passed over.
    private var skip: Skip?
    /// How many strings were longer than ``RESPLimits/maximumBulkLength`` and passed over.
    public private(set) var skippedStrings = 0

    private struct Skip {
        /// What came before it of its value.
        var before: ByteBuffer
        /// Bytes of it that are outstanding, CR LF included.
        var remaining: Int
    }

    private enum Found {
        case value(RESPValue, length: Int)
        case oversized(RESPReader.Oversized)
        case incomplete
    }

    private struct Scan {
        var progress = RESPReader.Progress()
        var open: [Open] = []
    }

    /// An aggregate whose values are not all there.
    private struct Open {
        var remaining: Int
        var isAttribute: Bool
    }

    public init(limits: RESPLimits = RESPLimits()) {
        self.limits = limits
    }

    /// Takes the next value from the buffer. Its strings are slices of the buffer, and keep the memory of all of it.
    ///
    /// Until it returns a value, the buffer must begin with the same bytes at the next call, with more behind them. What is
    /// passed over is taken from it.
    ///
    /// - Returns: nil when more bytes are needed.
    /// - Throws: the parser must not be used any more then.
    public mutating func next(from buffer: inout ByteBuffer) throws(RESPError) -> RESPValue? {
        repeat {
            if self.skip != nil, try !self.passOver(in: &buffer) { return nil }
            if let value = try self.nextAllowed(from: &buffer) { return value }
        } while self.skip != nil
        return nil
    }

    /// - Returns: nil when more bytes are needed, or a string is to be passed over.
    private mutating func nextAllowed(from buffer: inout ByteBuffer) throws(RESPError) -> RESPValue? {
        guard buffer.readableBytes > 0 else { return nil }
        if let number = try self.nextInteger(from: &buffer) { return .integer(number) }
        let source = buffer
        let limits = self.limits
        var scan = self.scan
        self.scan = nil
        let found = try source.withUnsafeReadableBytes { bytes throws(RESPError) -> Found in
            var reader = RESPReader(buffer: source, bytes: bytes, limits: limits, progress: .init())
            if scan == nil, let value = try Self.value(&reader, depth: 0) {
                return .value(value, length: reader.progress.position)
            }
            var open = scan.map(\.open) ?? []
            reader.progress = scan.map(\.progress) ?? .init()
            guard try Self.isWhole(&reader, open: &open) else {
                if let oversized = reader.oversized { return .oversized(oversized) }
                scan = Scan(progress: reader.progress, open: open)
                return .incomplete
            }
            reader.progress = .init()
            let value = try Self.value(&reader, depth: 0)
            return value.map { .value($0, length: reader.progress.position) } ?? .incomplete
        }
        switch found {
        case .value(let value, let length):
            buffer.moveReaderIndex(forwardBy: length)
            return value
        case .oversized(let string):
            // A copy: a slice would keep the memory of all that is passed over.
            let before = ByteBuffer(bytes: buffer.readableBytesView.prefix(string.start))
            self.skip = Skip(before: before, remaining: string.length + 2)
            buffer.moveReaderIndex(forwardBy: string.content)
        case .incomplete:
            self.scan = scan
        }
        return nil
    }

    /// Takes what is there of a string that is passed over. At its end the buffer gets back what came before it, and a null.
    ///
    /// - Returns: false when more bytes are needed.
    private mutating func passOver(in buffer: inout ByteBuffer) throws(RESPError) -> Bool {
        guard var skip = self.skip else { return true }
        let content = min(max(skip.remaining - 2, 0), buffer.readableBytes)
        buffer.moveReaderIndex(forwardBy: content)
        skip.remaining -= content
        self.skip = skip
        guard skip.remaining == 2, let end = buffer.readBytes(length: 2) else { return false }
        guard end == [.carriageReturn, .lineFeed] else { throw .invalid("string does not end where its length says") }
        var whole = skip.before
        whole.writeString("$-1\r\n")
        whole.writeBuffer(&buffer)
        buffer = whole
        self.skip = nil
        self.skippedStrings += 1
        return true
    }

    /// Most replies are numbers.
    ///
    /// - Returns: nil when something else comes next.
    private func nextInteger(from buffer: inout ByteBuffer) throws(RESPError) -> Int64? {
        guard self.scan == nil else { return nil }
        let found = try buffer.withUnsafeReadableBytes { bytes throws(RESPError) -> (Int64, end: Int)? in
            bytes.first == UInt8(ascii: ":") ? try RESPNumber.parse(bytes, from: 1) : nil
        }
        guard let (number, end) = found, end <= self.limits.maximumLength else { return nil }
        buffer.moveReaderIndex(forwardBy: end)
        return number
    }

    /// Takes the next value from the buffer when it is a message of a channel in RESP2, `["message", channel, payload]`, and
    /// all there: most of what a subscriber gets, without the values in between.
    ///
    /// - Returns: nil when it is something else, which ``next(from:)`` reads.
    public func nextMessage(from buffer: inout ByteBuffer) -> (channel: ByteBuffer, payload: ByteBuffer)? {
        guard self.scan == nil, self.skip == nil else { return nil }
        let found = buffer.withUnsafeReadableBytes { bytes -> (channel: Range<Int>, payload: Range<Int>)? in
            let head: StaticString = "*3\r\n$7\r\nmessage\r\n"
            guard bytes.count > head.utf8CodeUnitCount else { return nil }
            for index in 0..<head.utf8CodeUnitCount where bytes[index] != head.utf8Start[index] { return nil }
            guard let channel = self.bulkString(bytes, from: head.utf8CodeUnitCount),
                let payload = self.bulkString(bytes, from: channel.upperBound + 2),
                payload.upperBound + 2 <= self.limits.maximumLength
            else { return nil }
            return (channel, payload)
        }
        guard let found, let channel = buffer.getSlice(found.channel), let payload = buffer.getSlice(found.payload)
        else { return nil }
        buffer.moveReaderIndex(forwardBy: found.payload.upperBound + 2)
        return (channel, payload)
    }

    /// - Returns: the content, behind which CR LF follow; nil when it is something else, or not allowed.
    private func bulkString(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Range<Int>? {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "$") else { return nil }
        // What it throws, next(from:) throws too.
        guard let (length, content) = try? RESPNumber.parse(bytes, from: start + 1), length >= 0,
            length <= Int64(self.limits.maximumBulkLength)
        else { return nil }
        let end = content + Int(length)
        guard bytes.count >= end + 2, bytes[end] == .carriageReturn, bytes[end + 1] == .lineFeed else { return nil }
        return content..<end
    }

    /// - Returns: nil when bytes are missing.
    private static func value(_ reader: inout RESPReader, depth: Int) throws(RESPError) -> RESPValue? {
        while true {
            guard let item = try reader.nextItem() else { return nil }
            guard case .aggregate(let aggregate, let slots) = item else {
                guard case .value(let value) = item else { return nil }
                return value
            }
            guard depth < reader.limits.maximumDepth else { throw Self.tooDeep(reader.limits) }
            if aggregate == .map {
                guard let entries = try Self.entries(&reader, count: slots / 2, depth: depth) else { return nil }
                return .map(entries)
            }
            guard let elements = try Self.elements(&reader, count: slots, depth: depth) else { return nil }
            switch aggregate {
            case .array, .map: return .array(elements)
            case .set: return .set(elements)
            case .push: return .push(elements)
            // The value that it is about follows.
            case .attribute: continue
            }
        }
    }

    private static func elements(
        _ reader: inout RESPReader,
        count: Int,
        depth: Int
    ) throws(RESPError) -> [RESPValue]? {
        var elements: [RESPValue] = []
        elements.reserveCapacity(reader.capacity(for: count))
        for _ in 0..<count {
            guard let element = try Self.value(&reader, depth: depth + 1) else { return nil }
            elements.append(element)
        }
        return elements
    }

    private static func entries(
        _ reader: inout RESPReader,
        count: Int,
        depth: Int
    ) throws(RESPError) -> [RESPMapEntry]? {
        var entries: [RESPMapEntry] = []
        entries.reserveCapacity(reader.capacity(for: count))
        for _ in 0..<count {
            guard let key = try Self.value(&reader, depth: depth + 1),
                let value = try Self.value(&reader, depth: depth + 1)
            else { return nil }
            entries.append(RESPMapEntry(key: key, value: value))
        }
        return entries
    }

    /// Passes over the items of a value, from where the last call had to stop. Makes the same checks as ``value``.
    private static func isWhole(_ reader: inout RESPReader, open: inout [Open]) throws(RESPError) -> Bool {
        while let item = try reader.nextItem() {
            if case .aggregate(let aggregate, let slots) = item {
                guard open.count < reader.limits.maximumDepth else { throw Self.tooDeep(reader.limits) }
                if slots > 0 {
                    open.append(Open(remaining: slots, isAttribute: aggregate == .attribute))
                    continue
                }
                if aggregate == .attribute { continue }
            }
            if Self.endValue(&open) { return true }
        }
        return false
    }

    /// A value has ended, and with it perhaps those that hold it.
    ///
    /// - Returns: whether the outermost one has.
    private static func endValue(_ open: inout [Open]) -> Bool {
        while let last = open.indices.last {
            open[last].remaining -= 1
            guard open[last].remaining == 0 else { return false }
            if open.removeLast().isAttribute { return false }
        }
        return true
    }

    private static func tooDeep(_ limits: RESPLimits) -> RESPError {
        .limitExceeded("value is more than \(limits.maximumDepth) deep")
    }
}

extension ByteBuffer {
    /// - Parameter range: from the reader index on.
    fileprivate func getSlice(_ range: Range<Int>) -> ByteBuffer? {
        self.getSlice(at: self.readerIndex + range.lowerBound, length: range.count)
    }
}

extension RESPReader {
    /// What to reserve for elements that were announced: no more than can come from the bytes that are there.
    func capacity(for count: Int) -> Int {
        let shortestValue = 3
        return min(count, (self.bytes.count - self.progress.position) / shortestValue)
    }
}
