import NIOCore

/// Writes JSON as MessagePack, as notepack.io writes what `JSON.parse` gives, but for the order of the keys, which stays
/// as it is, and for what notepack.io corrupts.
///
/// It writes in one pass, with one byte for the head of every container. What that does not suffice for, more than 15
/// elements or a repeated key, is noted and mended at the end in one pass over the output.
struct MessagePackFromJSON {
    private(set) var output: ByteBuffer
    /// Where the output began.
    private let start: Int
    private var edits: [Edit] = []
    /// Why ``writeValue(_:depth:)`` threw, when it was not the JSON.
    private var failure: MessagePackError?

    private struct Edit {
        /// What to leave out, counted from the start.
        var range: Range<Int>
        var replacement: Replacement

        enum Replacement {
            case nothing
            case arrayHead(Int)
            case mapHead(Int)
        }
    }

    private init(_ output: ByteBuffer) {
        self.output = output
        self.start = output.writerIndex
    }

    /// - Parameters:
    ///   - json: exactly one value.
    ///   - output: gets the value at its end; unchanged when it fails.
    static func write(_ json: ByteBuffer, into output: inout ByteBuffer) throws(MessagePackError) {
        guard json.readableBytes <= MessagePack.maximumLength else {
            throw .tooLong(maximum: MessagePack.maximumLength)
        }
        // Moved back and forth, for there must be one reference only.
        var writer = Self(output)
        output = ByteBuffer()
        let start = writer.start
        let failure = json.withUnsafeReadableBytes { writer.write($0) }
        output = writer.output
        if let failure {
            output.moveWriterIndex(to: start)
            throw failure
        }
    }

    private mutating func write(_ bytes: UnsafeRawBufferPointer) -> MessagePackError? {
        self.output.reserveCapacity(minimumWritableBytes: bytes.count)
        var scanner = JSONScanner(bytes, maximumDepth: JSONText.maximumDepth)
        do throws(JSONError) {
            try self.writeValue(&scanner, depth: 0)
            guard scanner.peek() == nil else { throw scanner.unexpected() }
        } catch {
            return self.failure ?? .invalidJSON(error)
        }
        if !self.edits.isEmpty { self.applyEdits() }
        return nil
    }

    private mutating func writeValue(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) {
        switch scanner.peek() {
        case UInt8(ascii: "\""): try self.writeString(scanner.scanString(), of: scanner)
        case UInt8(ascii: "{"): try self.writeObject(&scanner, depth: depth)
        case UInt8(ascii: "["): try self.writeArray(&scanner, depth: depth)
        case UInt8(ascii: "t"):
            _ = try scanner.skipValue()
            self.output.writeMessagePack(true)
        case UInt8(ascii: "f"):
            _ = try scanner.skipValue()
            self.output.writeMessagePack(false)
        case UInt8(ascii: "n"):
            _ = try scanner.skipValue()
            self.output.writeMessagePackNull()
        default:
            let range = try scanner.skipValue()
            switch JSONNumber(UnsafeRawBufferPointer(rebasing: scanner.bytes[range])) {
            case .integer(let value): self.output.writeMessagePack(value)
            case .unsigned(let value): self.output.writeMessagePack(value)
            case .double(let value): self.output.writeMessagePack(value)
            case nil: throw self.fail(.numberOutOfRange(offset: range.lowerBound), scanner)
            }
        }
    }

    private mutating func fail(_ failure: MessagePackError, _ scanner: JSONScanner) -> JSONError {
        self.failure = failure
        return scanner.unexpected()
    }

    private mutating func writeString(_ token: JSONScanner.StringToken, of scanner: JSONScanner) throws(JSONError) {
        let content = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
        guard token.isEscaped else {
            self.output.writeMessagePack(utf8: content)
            return
        }
        // The head needs the length, which is known when the string is written; it is never longer than the content.
        let start = self.output.writerIndex
        let head = ByteBuffer.messagePackStringHeadSize(content.count)
        var length = 0
        var isWellFormed = true
        self.output.writeWithUnsafeMutableBytes(minimumWritableBytes: head + content.count) { output in
            (length, isWellFormed) = JSONText.unescape(content, into: .init(rebasing: output[head...]))
            let shortHead = ByteBuffer.messagePackStringHeadSize(length)
            if shortHead < head {
                UnsafeMutableRawBufferPointer(rebasing: output[shortHead...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: output[head..<(head + length)]))
            }
            return shortHead + length
        }
        guard isWellFormed else { throw self.fail(.unpairedSurrogate(offset: token.range.lowerBound), scanner) }
        let end = self.output.writerIndex
        self.output.moveWriterIndex(to: start)
        self.output.writeMessagePackStringHead(length)
        self.output.moveWriterIndex(to: end)
    }

    private mutating func writeArray(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) {
        let head = self.output.writerIndex
        self.output.writeMessagePackArrayHead(0)
        var count = 0
        try scanner.scanArray(depth: depth) { (scanner) throws(JSONError) in
            try self.writeValue(&scanner, depth: depth + 1)
            count &+= 1
        }
        if count < 0x10 {
            self.output.setInteger(0x90 | UInt8(count), at: head)
        } else {
            self.note(head..<(head + 1), .arrayHead(count))
        }
    }

    private mutating func writeObject(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) {
        let head = self.output.writerIndex
        self.output.writeMessagePackMapHead(0)
        var keys = KeyTable()
        try scanner.scanObject(depth: depth) { (scanner, token) throws(JSONError) in
            let start = self.output.writerIndex
            try self.writeString(token, of: scanner)
            let replaced = keys.insert(start..<self.output.writerIndex, in: self.output)
            if let replaced { self.note(replaced, .nothing) }
            try self.writeValue(&scanner, depth: depth + 1)
        }
        keys.finish(in: self.output) { self.note($0, .nothing) }
        if keys.count < 0x10 {
            self.output.setInteger(0x80 | UInt8(keys.count), at: head)
        } else {
            self.note(head..<(head + 1), .mapHead(keys.count))
        }
    }

    private mutating func note(_ range: Range<Int>, _ replacement: Edit.Replacement) {
        let range = (range.lowerBound - self.start)..<(range.upperBound - self.start)
        self.edits.append(Edit(range: range, replacement: replacement))
    }

    private mutating func applyEdits() {
        // The writer index is behind the start, so there is a slice.
        let unedited =
            self.output.getSlice(at: self.start, length: self.output.writerIndex - self.start) ?? ByteBuffer()
        var edited = ByteBuffer()
        edited.reserveCapacity(unedited.readableBytes + 4 * self.edits.count)
        var position = 0
        for edit in self.edits.sorted(by: { $0.range.lowerBound < $1.range.lowerBound })
        where edit.range.lowerBound >= position {
            // What lies in a part that was left out is left out with it.
            edited.writeImmutableBuffer(unedited.slice(position..<edit.range.lowerBound))
            switch edit.replacement {
            case .nothing: break
            case .arrayHead(let count): edited.writeMessagePackArrayHead(count)
            case .mapHead(let count): edited.writeMessagePackMapHead(count)
            }
            position = edit.range.upperBound
        }
        edited.writeImmutableBuffer(unedited.slice(position..<unedited.readableBytes))
        self.output.moveWriterIndex(to: self.start)
        self.output.writeImmutableBuffer(edited)
    }
}
